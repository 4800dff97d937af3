//! Decisions, reason by reason, and their texts.

use std::collections::HashMap;

use chrono::TimeDelta;
use uuid::Uuid;

use super::super::health::Key;
use super::super::properties::{candidate, payee};
use super::super::{BadText, Hours, Maintenance, from_text};
use super::*;
use crate::base::money::Currency;
use crate::routing::candidate::{Cost, Rounding, Table};

/// Ten in the morning in Shanghai.
fn now() -> DateTime<Utc> {
    "2026-11-21T02:00:00Z".parse().unwrap()
}

fn name(text: &str) -> ChannelName {
    ChannelName::try_new(text).unwrap()
}

fn routes(candidates: Vec<Candidate>) -> Routes {
    Routes::try_new(Table { revision: 3, last_resort: false, candidates }).unwrap()
}

fn view(state: State) -> View {
    View { state, trials_left: usize::from(state == State::Probing), ..View::UNKNOWN }
}

fn snapshot(views: &[(&str, View)]) -> Snapshot {
    let key = |channel: &str| Key { channel: name(channel), method: Method::Native, group: Group::default() };
    Snapshot::of(42, now() - TimeDelta::milliseconds(30), views.iter().map(|(channel, view)| (key(channel), *view)).collect())
}

/// A payment of 100.00 that every plain candidate fits, decided with changes.
struct Asked {
    product: ProductCode,
    payee: Payee,
    amount: Money,
    method: Method,
    wallet: Option<Wallet>,
    tried: Vec<ChannelName>,
    attempt: AttemptId,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            product: ProductCode::try_new("PROPERTY_FEE").unwrap(),
            payee: payee("ENTITY_1", "CUSTODY_1"),
            amount: Money::cny(10_000),
            method: Method::Native,
            wallet: None,
            tried: Vec::new(),
            attempt: AttemptId(Uuid::from_u128(1)),
        }
    }
}

impl Asked {
    fn payment(&self) -> NewPayment<'_> {
        NewPayment {
            attempt: self.attempt,
            method: self.method,
            wallet: self.wallet,
            product: &self.product,
            amount: self.amount,
            payee: &self.payee,
            group: Group::default(),
            tried: &self.tried,
        }
    }

    fn among(&self, candidates: Vec<Candidate>, health: &Snapshot) -> Result<Decision, NoChannel> {
        decide(&self.payment(), &routes(candidates), health, &Usage::default(), now())
    }
}

/// The first attempt that is on trial for a channel, or the first that is not.
fn attempt(channel: &str, trial: bool) -> AttemptId {
    (0..).map(|n| AttemptId(Uuid::from_u128(n))).find(|id| on_trial(*id, &name(channel)) == trial).unwrap()
}

#[test]
fn each_mismatch_leaves_a_candidate_out_for_its_reason() {
    let plain = || candidate("A", "WECHAT");
    let asked = Asked::default;
    let until = "2026-11-21T12:00:00".parse().unwrap();
    let window = Maintenance { from: "2026-11-21T10:00:00".parse().unwrap(), until };
    let cases = [
        (Candidate { currency: Currency::Hkd, ..plain() }, asked(), Reason::Currency),
        (Candidate { payee: payee("ENTITY_2", "CUSTODY_1"), ..plain() }, asked(), Reason::PayeeEntity),
        (Candidate { payee: payee("ENTITY_1", "CUSTODY_2"), ..plain() }, asked(), Reason::CustodyAccount),
        (plain(), Asked { method: Method::Barcode, ..asked() }, Reason::Method),
        (Candidate { wallets: vec![Wallet::Wechat], ..plain() }, Asked { wallet: Some(Wallet::Ecny), ..asked() }, Reason::Wallet),
        (Candidate { wallets: vec![Wallet::Wechat, Wallet::Alipay, Wallet::Ecny], ..plain() }, asked(), Reason::Wallet),
        (plain(), Asked { product: ProductCode::try_new("PARKING").unwrap(), ..asked() }, Reason::Product),
        (Candidate { amount_minor_min: 10_001, ..plain() }, asked(), Reason::AmountBelow { min: 10_001 }),
        (Candidate { amount_minor_max: 9_999, ..plain() }, asked(), Reason::AmountAbove { max: 9_999 }),
        (plain(), Asked { amount: Money::cny(0), ..asked() }, Reason::AmountBelow { min: 1 }),
        (plain(), Asked { amount: Money::cny(-5), ..asked() }, Reason::AmountBelow { min: 1 }),
        (plain(), Asked { amount: Money::cny(i64::MAX), ..asked() }, Reason::AmountAbove { max: 5_000_000 }),
        (plain(), Asked { tried: vec![name("ALIPAY"), name("WECHAT")], ..asked() }, Reason::AlreadyTried),
        (Candidate { maintenance: vec![window], ..plain() }, asked(), Reason::AnnouncedMaintenance { until }),
        (
            Candidate { hours: vec![Hours { from: "10:30".parse().unwrap(), to: "09:59".parse().unwrap() }], ..plain() },
            asked(),
            Reason::OutsideHours,
        ),
        (Candidate { daily_minor_max: Some(9_999), ..plain() }, asked(), Reason::DailyLimit { left: 9_999 }),
    ];
    for (candidate, asked, reason) in cases {
        let none = asked.among(vec![candidate], &snapshot(&[])).unwrap_err();
        assert_eq!(none.found()[0].finding, Finding::LeftOut(reason));
        assert_eq!(none.fault(), Fault::Ours);
    }
    let at_its_limits = Candidate { amount_minor_min: 10_000, amount_minor_max: 10_000, daily_minor_max: Some(10_000), ..plain() };
    let open = Hours { from: "10:00".parse().unwrap(), to: "10:01".parse().unwrap() };
    let shut = Hours { from: "11:00".parse().unwrap(), to: "12:00".parse().unwrap() };
    let over = Maintenance { from: "2026-11-21T09:00:00".parse().unwrap(), until: "2026-11-21T10:00:00".parse().unwrap() };
    let at_its_limits = Candidate { hours: vec![shut, open], maintenance: vec![over], ..at_its_limits };
    assert!(asked().among(vec![at_its_limits], &snapshot(&[])).is_ok());
    let of_one_wallet = Candidate { wallets: vec![Wallet::Alipay], ..plain() };
    assert!(Asked { wallet: Some(Wallet::Alipay), ..asked() }.among(vec![of_one_wallet], &snapshot(&[])).is_ok());
    let whatever_is_sold = Candidate { products: Vec::new(), ..plain() };
    assert!(asked().among(vec![whatever_is_sold], &snapshot(&[])).is_ok());
}

#[test]
fn a_used_up_second_leaves_a_candidate_out() {
    let limited = Candidate { per_second_max: 1, ..candidate("A", "WECHAT") };
    let mut usage = Usage::default();
    usage.give(&limited.name, 1, now());
    let asked = Asked::default();
    let none = decide(&asked.payment(), &routes(vec![limited]), &snapshot(&[]), &usage, now()).unwrap_err();
    assert_eq!(none.found()[0].finding, Finding::LeftOut(Reason::PerSecond { max: 1 }));
}

#[test]
fn each_state_lets_in_what_it_should() {
    let until = Some(now());
    let cases = [
        (view(State::Healthy), Ok(Standing::Healthy)),
        (view(State::Degraded), Ok(Standing::Degraded)),
        (View { until, ..view(State::Open) }, Err(Reason::Open { until })),
        (View { until, ..view(State::Maintenance) }, Err(Reason::Maintenance { until })),
        (view(State::Disabled), Err(Reason::Disabled)),
    ];
    for (view, expected) in cases {
        let decided = Asked::default().among(vec![candidate("A", "WECHAT")], &snapshot(&[("WECHAT", view)]));
        match (decided, expected) {
            (Ok(decision), Ok(standing)) => assert_eq!(decision.standing, standing),
            (Err(none), Err(reason)) => assert_eq!(none.found()[0].finding, Finding::LeftOut(reason)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_channel_on_trial_takes_its_share_and_nothing_else() {
    let both = || vec![candidate("A", "WECHAT"), Candidate { cost: free(), ..candidate("B", "ALIPAY") }];
    let probing = snapshot(&[("WECHAT", view(State::Probing))]);
    let asked = Asked { attempt: attempt("WECHAT", true), ..Asked::default() };
    let decision = asked.among(both(), &probing).unwrap();
    assert_eq!((decision.candidate().as_str(), decision.on_trial()), ("A", true), "though it costs more");
    let full = snapshot(&[("WECHAT", View { trials_left: 0, ..view(State::Probing) })]);
    let decision = asked.among(both(), &full).unwrap();
    assert_eq!((decision.candidate().as_str(), decision.on_trial()), ("B", false));
    assert_eq!(decision.found()[0].finding, Finding::LeftOut(Reason::TrialsFull));
    let other = Asked { attempt: attempt("WECHAT", false), ..Asked::default() };
    let decision = other.among(both(), &probing).unwrap();
    assert_eq!(decision.found()[0].finding, Finding::LeftOut(Reason::NotOnTrial));
    let degraded = snapshot(&[("WECHAT", view(State::Degraded))]);
    assert_eq!(asked.among(both(), &degraded).unwrap().candidate().as_str(), "A", "a degraded one is tried out as well");
    assert_eq!(other.among(both(), &degraded).unwrap().candidate().as_str(), "B");
    let none = other.among(vec![candidate("A", "WECHAT")], &probing).unwrap_err();
    assert_eq!(none.found()[0].finding, Finding::LeftOut(Reason::NotOnTrial), "not even when there is nothing else");
}

#[test]
fn trials_are_a_twentieth_and_not_the_same_for_two_channels() {
    let (a, b) = (name("WECHAT"), name("ALIPAY"));
    let ids: Vec<_> = (0..100_000_u128).map(|n| AttemptId(Uuid::from_u128(n << 64 | 7))).collect();
    let [of_a, of_b] = [&a, &b].map(|c| ids.iter().filter(|id| on_trial(**id, c)).count());
    let of_both = ids.iter().filter(|id| on_trial(**id, &a) && on_trial(**id, &b)).count();
    assert!((4_700..5_300).contains(&of_a) && (4_700..5_300).contains(&of_b), "{of_a} {of_b}");
    assert!((150..350).contains(&of_both), "independent: a twentieth of a twentieth, {of_both}");
    // the same on every machine and in every version
    let first: Vec<_> = (0..100_u128).filter(|n| on_trial(AttemptId(Uuid::from_u128(*n)), &a)).collect();
    assert_eq!(first, [14, 31, 38, 57, 84, 93, 94]);
}

fn free() -> Cost {
    Cost { bps: 0, fixed_minor: 0, rounding: Rounding::Down }
}

#[test]
fn the_best_is_healthy_then_cheap_then_first_by_name() {
    let costing = |name, channel, bps| Candidate { cost: Cost { bps, ..free() }, ..candidate(name, channel) };
    let chosen = |candidates: Vec<Candidate>, health: &Snapshot| {
        let backwards = candidates.iter().rev().cloned().collect();
        let decision = Asked::default().among(candidates, health).unwrap();
        assert_eq!(decision.candidate(), Asked::default().among(backwards, health).unwrap().candidate(), "the table's order is no matter");
        decision.candidate().to_string()
    };
    let failing = |ppm| View { failing_ppm: ppm, ..View::UNKNOWN };
    let abc = || vec![costing("A", "WECHAT", 38), costing("B", "ALIPAY", 37), costing("C", "UNION", 60)];
    assert_eq!(chosen(abc(), &snapshot(&[])), "B", "the cheapest");
    assert_eq!(chosen(abc(), &snapshot(&[("ALIPAY", view(State::Degraded))])), "A", "the cheapest healthy one");
    assert_eq!(chosen(abc(), &snapshot(&[("ALIPAY", failing(20_000))])), "A", "37 + 2 bps against 38");
    assert_eq!(chosen(abc(), &snapshot(&[("ALIPAY", failing(9_000))])), "A", "37 + 1, rounded up, is 38: then by name");
    let degraded = [("WECHAT", view(State::Degraded)), ("ALIPAY", view(State::Open)), ("UNION", view(State::Degraded))];
    assert_eq!(chosen(abc(), &snapshot(&degraded)), "A", "a degraded one where nothing is healthy");
    assert_eq!(chosen(vec![candidate("B", "WECHAT"), candidate("A", "ALIPAY")], &snapshot(&[])), "A");
}

#[test]
fn what_failures_cost_grows_with_the_amount() {
    let asked = |minor| Asked { amount: Money::cny(minor), ..Asked::default() };
    let half = snapshot(&[("WECHAT", View { failing_ppm: 500_000, ..view(State::Degraded) })]);
    for (minor, fee, effective) in [(10_000, 38, 38 + 50), (1, 0, 1), (5_000_000, 19_000, 19_000 + 25_000)] {
        let decision = asked(minor).among(vec![candidate("A", "WECHAT")], &half).unwrap();
        let Finding::Fits(offer) = decision.found()[0].finding else { panic!("{decision:?}") };
        assert_eq!((offer.fee_minor, offer.effective_minor), (fee, effective), "{minor}");
    }
}

#[test]
fn health_belongs_to_the_method_and_the_group() {
    let open = Snapshot::of(
        1,
        now(),
        HashMap::from([(Key { channel: name("WECHAT"), method: Method::Wap, group: Group::default() }, view(State::Open))]),
    );
    assert!(Asked::default().among(vec![candidate("A", "WECHAT")], &open).is_ok());
    let group = Group::try_from(3).unwrap();
    let of_group =
        Snapshot::of(1, now(), HashMap::from([(Key { channel: name("WECHAT"), method: Method::Native, group }, view(State::Open))]));
    let asked = Asked::default();
    let table = routes(vec![candidate("A", "WECHAT")]);
    assert!(decide(&asked.payment(), &table, &of_group, &Usage::default(), now()).is_ok());
    assert!(decide(&NewPayment { group, ..asked.payment() }, &table, &of_group, &Usage::default(), now()).is_err());
}

#[test]
fn a_decision_is_read_back_from_its_text() {
    let health = snapshot(&[("ALIPAY", View { until: Some(now()), ..view(State::Open) })]);
    let asked = Asked { tried: vec![name("UNION")], ..Asked::default() };
    let three = || vec![candidate("A", "ALIPAY"), candidate("B", "WECHAT"), candidate("C", "UNION")];
    let decision = asked.among(three(), &health).unwrap();
    assert_eq!(from_text(&decision.to_text()).unwrap(), Ok(decision.clone()));
    assert_eq!(
        decision.to_text(),
        concat!(
            r#"{"v":1,"inputs":{"attempt":"00000000-0000-0000-0000-000000000001","method":"NATIVE","product":"PROPERTY_FEE","#,
            r#""amount":{"minor":10000,"currency":"CNY"},"payee":{"entity":"ENTITY_1","custody_account":"CUSTODY_1"},"group":0,"#,
            r#""tried":["UNION"],"at":"2026-11-21T02:00:00Z","revision":3,"snapshot":42,"snapshot_at":"2026-11-21T01:59:59.970Z"},"#,
            r#""chosen":1,"found":[{"c":"A","h":"ALIPAY","f":{"out":{"OPEN":{"until":"2026-11-21T02:00:00Z"}}}},"#,
            r#"{"c":"B","h":"WECHAT","f":{"fits":{"standing":"HEALTHY","fee_minor":38,"failing_ppm":0,"effective_minor":38}}},"#,
            r#"{"c":"C","h":"UNION","f":{"out":"ALREADY_TRIED"}}]}"#
        )
    );
    let none = asked.among(vec![candidate("A", "ALIPAY")], &health).unwrap_err();
    assert_eq!(from_text(&none.to_text()).unwrap(), Err(none.clone()));
    let bad = [
        ("{}", "the text is not a decision"),
        (&decision.to_text().replace("\"v\":1", "\"v\":2"), "the text has the unknown version 2"),
        (&decision.to_text().replace("\"chosen\":1", "\"chosen\":0"), "the text names a choice that does not fit, or none where one fits"),
        (&decision.to_text().replace("\"chosen\":1", "\"chosen\":3"), "the text names a choice that does not fit, or none where one fits"),
        (&decision.to_text().replace("\"chosen\":1,", ""), "the text names a choice that does not fit, or none where one fits"),
        (&decision.to_text().replace("\"v\":1", "\"v\":1,\"w\":1"), "the text is not a decision"),
    ];
    for (text, told) in bad {
        let error: BadText = from_text(text).unwrap_err();
        assert_eq!(error.to_string(), told);
    }
}

#[test]
fn a_person_is_told_why_of_every_candidate() {
    let fees = Candidate { cost: Cost { bps: 60, ..free() }, ..candidate("C", "UNION") };
    let abroad = Candidate { currency: Currency::Hkd, ..candidate("D", "BANK") };
    let health = snapshot(&[
        ("ALIPAY", View { until: Some(now()), ..view(State::Open) }),
        ("UNION", View { failing_ppm: 12_345, ..view(State::Degraded) }),
    ]);
    let decision = Asked::default().among(vec![candidate("A", "ALIPAY"), candidate("B", "WECHAT"), fees, abroad], &health).unwrap();
    assert_eq!(
        decision.explain(),
        [
            "A (ALIPAY) was left out: too many attempts failed, and it is not tried again until 2026-11-21T02:00:00+00:00.",
            "B (WECHAT) was chosen: it is healthy, the fee is 0.38 CNY, at least 0.00 % of its attempts fail, which makes 0.38 CNY.",
            "C (UNION) fits, but B is better: it is degraded, the fee is 0.60 CNY, at least 1.23 % of its attempts fail, which makes 0.62 CNY.",
            "D (BANK) was left out: it does not take CNY.",
        ]
    );
    let none = Asked::default().among(vec![candidate("A", "ALIPAY")], &health).unwrap_err();
    assert_eq!((none.explain().len(), none.to_string().as_str()), (1, "no channel can take the payment"));
}

#[test]
fn where_nothing_else_is_left_a_table_may_say_that_a_closed_channel_is_tried_all_the_same() {
    let asked = Asked { attempt: attempt("WECHAT", false), ..Asked::default() };
    let decided = |state, last_resort, more: &[Candidate]| {
        let candidates = [&[candidate("A", "WECHAT")], more].concat();
        let table = Routes::try_new(Table { revision: 3, last_resort, candidates }).unwrap();
        decide(&asked.payment(), &table, &snapshot(&[("WECHAT", view(state))]), &Usage::default(), now())
    };
    for state in [State::Open, State::Probing] {
        assert!(decided(state, false, &[]).is_err(), "{state:?}");
        let taken = decided(state, true, &[]).unwrap();
        assert_eq!((taken.candidate().as_str(), taken.standing), ("A", Standing::LastResort), "{state:?}");
        assert_eq!(from_text(&taken.to_text()).unwrap().unwrap(), taken);
        assert!(taken.explain()[0].contains("it takes none, but nothing else is left"), "{:?}", taken.explain());
        let other = decided(state, true, &[candidate("B", "ALIPAY")]).unwrap();
        assert_eq!((other.candidate().as_str(), other.standing), ("B", Standing::Healthy), "{state:?}");
    }
    for state in [State::Disabled, State::Maintenance] {
        assert!(decided(state, true, &[]).is_err(), "what a person said is final: {state:?}");
    }
}
