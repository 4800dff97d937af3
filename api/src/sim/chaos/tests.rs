//! What decides, without a socket: reading profiles, and the same fate for the same number.

use std::collections::HashSet;
use std::time::Duration;

use axum::http::{Method, Uri};

use super::file::read;
use super::profile::{Answers, Business, Kind, News, Notices, Outage, Profile, Section, Span};
use super::request::asked;
use super::rules::{Fault, Told, answer, fate, notice, share_arrives};
use super::{Chaos, NAMES, shipped};
use crate::sim::Party;

fn profile(text: &str) -> Profile {
    read(&format!("about = \"a test\"\nseed = 1\n{text}")).unwrap()
}

fn mistakes(text: &str) -> Vec<String> {
    read(text).unwrap_err().0
}

/// Numbers as the platform gives them.
fn numbers(count: u32) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("{n:032x}"))
}

#[test]
fn every_shipped_profile_can_be_read_and_the_calm_one_names_every_key() {
    for name in NAMES {
        let active = shipped::load(name).unwrap();
        assert_eq!((active.name.as_str(), active.profile.about.is_empty()), (name, false));
    }
    let calm = shipped::load("calm").unwrap();
    let keys = [Answers::EITHER, Answers::OTHERS, Notices::EITHER, Notices::OTHERS, Business::EITHER, Business::OTHERS].concat();
    for key in keys {
        assert!(calm.text.lines().any(|line| line.starts_with(&format!("{key} = "))), "{key}");
    }
    for number in numbers(200) {
        for party in Party::ALL {
            assert_eq!(answer(&calm.profile, party, Kind::Pay, &number, 0).fault, None);
            let told = notice(&calm.profile, party, News::Payment, &number, 0);
            assert_eq!((told.told, told.deliveries, told.behind, told.replayed), (Told::Truth, 1, 0, None));
        }
    }
}

#[test]
fn every_mistake_in_a_profile_has_its_sentence() {
    let text = r#"
        about = ""
        colour = "red"
        [answer]
        drop_before = 10001
        drop_after = "many"
        delay_ms = [20, 10]
        lost = 1
        [answer.pay]
        garbage = -1
        skew_ms = [0, 600001]
        [answer.dance]
        [notice]
        times = 1
        behind = 51
        [business.pay]
        [party.nobody.answer]
        [party.bank.colour]
        [party.bank.answer.payout]
        stale = 1.5
        [[down]]
        party = "moon"
        during_ms = 5
        how = "softly"
        why = "so"
    "#;
    let expected = [
        "about must be a sentence of 1 to 200 characters on one line",
        "answer.dance is not known; there are drop_before, drop_after, fail_before, fail_after, slow_body, garbage, wrong_key, stale, other_request, \
         delay_ms, slow_ms, skew_ms, [answer.pay], [answer.query], [answer.close], [answer.refund], [answer.query_refund], [answer.payout], \
         [answer.query_payout], [answer.other]",
        "answer.delay_ms must be two times in milliseconds, from and to, of at most 600000, such as [0, 250]",
        "answer.drop_after must be a share in basis points, 0 to 10000",
        "answer.drop_before must be a share in basis points, 0 to 10000",
        "answer.lost is not known; there are drop_before, drop_after, fail_before, fail_after, slow_body, garbage, wrong_key, stale, other_request, \
         delay_ms, slow_ms, skew_ms, [answer.pay], [answer.query], [answer.close], [answer.refund], [answer.query_refund], [answer.payout], \
         [answer.query_payout], [answer.other]",
        "answer.pay.garbage must be a share in basis points, 0 to 10000",
        "answer.pay.skew_ms must be two times in milliseconds, from and to, of at most 600000, such as [0, 250]",
        "business.pay is not known; there are decline_user, decline_channel, late_success, success_after_decline, refund_fail, refund_closed, \
         payout_return, split_part, share_back, finish_refused, after_ms",
        "colour is not known; a profile has about, seed, answer, notice, business, party and down",
        "down 1 names moon, which is nobody; there are acquirer, bank, alipay, unionpay, ecny, wechat, directbank",
        "down 1.during_ms must be two times in milliseconds, from and to, of at most 600000, such as [0, 250]",
        "down 1.how must be reset, silence or busy",
        "down 1.why is not known; an outage has party, during_ms and how",
        "notice.behind must be a whole number from 1 to 50",
        "notice.times must be a whole number from 2 to 20",
        "party names nobody, which is nobody; there are acquirer, bank, alipay, unionpay, ecny, wechat, directbank",
        "party.bank.answer.payout.stale must be a share in basis points, 0 to 10000",
        "party.bank.colour is not known; a party has answer, notice and business",
        "seed is missing",
    ];
    let mut found = mistakes(text);
    found.sort_unstable();
    assert_eq!(found, expected);

    assert_eq!(mistakes("about = \"x\"\nseed = \n"), ["line 2 is no TOML: string values must be quoted, expected literal string"]);
    assert_eq!(
        mistakes("about = \"x\"\nseed = -1\nanswer = 3\n[party]\nbank = 4"),
        ["answer must be a section, [answer]", "party.bank must be a section, [party.bank]", "seed must be a whole number of at least 0",]
    );
    let sum = mistakes("about = \"x\"\nseed = 1\n[notice]\ndrop = 6000\n[notice.refund]\nchanged_amount = 4001\n");
    assert_eq!(
        sum,
        [
            "notice.refund of acquirer: drop, wrong_merchant, changed_amount, changed_currency exclude each other and add up to 10001, more than 10000"
        ]
    );
}

#[test]
fn a_profile_that_is_not_there_or_not_sound_is_said_in_a_sentence() {
    let error = |name: &str| format!("{:#}", Chaos::begin(name).unwrap_err());
    assert_eq!(
        error("stormy"),
        "there is no profile stormy; name a file, or one of calm, slow, lossy, duplicating, reordering, lying, late, bounce, partial, storm, down"
    );
    assert!(error("./none.toml").starts_with("the profile ./none.toml cannot be read: "));
    let file = std::env::temp_dir().join(format!("haodian-profile-{}.toml", uuid::Uuid::now_v7().simple()));
    std::fs::write(&file, "about = \"x\"\nseed = 3\n[answer]\nlast = 1").unwrap();
    assert!(error(&file.display().to_string()).contains("cannot be used:\nanswer.last is not known; there are"));
    std::fs::write(&file, "about = \"x\"\nseed = 3").unwrap();
    let chaos = Chaos::begin(&file.display().to_string()).unwrap();
    assert_eq!((chaos.active().profile.seed, chaos.active().name.starts_with("haodian-profile-")), (3, true));
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn what_is_more_specific_goes_first_key_by_key() {
    let profile = profile(
        "[answer]\nstale = 1\ngarbage = 1\nwrong_key = 1\nfail_after = 1\n[answer.pay]\ngarbage = 2\nwrong_key = 2\nfail_after = 2\n
         [party.bank.answer]\nwrong_key = 3\nfail_after = 3\n[party.bank.answer.pay]\nfail_after = 4\n",
    );
    let shares = |party, kind| {
        let of = profile.answers(party, kind);
        [of.stale, of.garbage, of.wrong_key, of.fail_after]
    };
    assert_eq!(shares(Party::Acquirer, Kind::Query), [1, 1, 1, 1]);
    assert_eq!(shares(Party::Acquirer, Kind::Pay), [1, 2, 2, 2]);
    assert_eq!(shares(Party::Bank, Kind::Query), [1, 1, 3, 3]);
    assert_eq!(shares(Party::Bank, Kind::Pay), [1, 2, 3, 4]);
}

#[test]
fn the_same_seed_and_number_meet_the_same_fate_in_any_order_and_another_seed_another() {
    let storm = shipped::load("storm").unwrap().profile;
    let other = Profile { seed: storm.seed + 1, ..storm.clone() };
    let all = |profile: &Profile, numbers: &mut dyn Iterator<Item = String>| -> HashSet<String> {
        let of = |n: String| {
            let about = (answer(profile, Party::Acquirer, Kind::Query, &n, 3), notice(profile, Party::Bank, News::Payout, &n, 0));
            format!("{n} {about:?} {:?}", fate(profile, Party::Acquirer, &n))
        };
        numbers.map(of).collect()
    };
    let forward = all(&storm, &mut numbers(300));
    let backward: Vec<String> = numbers(300).collect();
    assert_eq!(all(&storm, &mut backward.into_iter().rev()), forward);
    assert!(all(&other, &mut numbers(300)).intersection(&forward).count() < 10, "a seed changes nearly everything");
}

#[test]
fn a_request_that_is_repeated_is_decided_anew_and_each_party_and_kind_for_itself() {
    let profile = profile("[answer]\ndrop_before = 5000\n");
    let number = "0123456789abcdef0123456789abcdef";
    let dropped =
        |party, kind, turns: std::ops::Range<u32>| turns.filter(|t| answer(&profile, party, kind, number, *t).fault.is_some()).count();
    for (party, kind) in [(Party::Acquirer, Kind::Query), (Party::Acquirer, Kind::Pay), (Party::Bank, Kind::Query)] {
        assert!((400..600).contains(&dropped(party, kind, 0..1_000)), "half of them");
    }
    let pattern = |party, kind| (0..64).map(|t| answer(&profile, party, kind, number, t).fault.is_some()).collect::<Vec<_>>();
    assert_ne!(pattern(Party::Acquirer, Kind::Query), pattern(Party::Acquirer, Kind::Pay));
    assert_ne!(pattern(Party::Acquirer, Kind::Query), pattern(Party::Bank, Kind::Query));
}

#[test]
fn shares_are_met_and_what_excludes_each_other_never_meets() {
    let profile = profile(
        "[answer]\ndrop_before = 1000\ndrop_after = 1000\nfail_before = 1000\nfail_after = 1000\nslow_body = 1000\ngarbage = 1000\nwrong_key = 1000\n
         stale = 1000\nskew_ms = [7, 9]\nother_request = 1000\ndelay_ms = [5, 15]\n
         [notice]\ndrop = 2500\nwrong_merchant = 2500\nchanged_amount = 2500\nchanged_currency = 2500\nduplicate = 5000\ntimes = 4\nreorder = 5000\nbehind = 3\n
         [business]\ndecline_user = 5000\ndecline_channel = 5000\nsplit_part = 2000\nrefund_fail = 10000\nafter_ms = [1, 2]\n",
    );
    let answers: Vec<_> = numbers(9_000).map(|n| answer(&profile, Party::Wechat, Kind::Refund, &n, 0)).collect();
    let kinds: HashSet<_> = answers.iter().filter_map(|a| a.fault).map(|f| std::mem::discriminant(&f)).collect();
    assert_eq!(kinds.len(), 9);
    let share = |of: &dyn Fn(&Option<Fault>) -> bool| answers.iter().filter(|a| of(&a.fault)).count();
    assert!((750..1_050).contains(&share(&|f| *f == Some(Fault::WrongKey))) && (750..1_050).contains(&share(&Option::is_none)));
    let within = |time: Duration, span: Span| (span.from_ms..=span.to_ms).contains(&(time.as_millis() as u64));
    assert!(answers.iter().all(|a| within(a.delay, Span { from_ms: 5, to_ms: 15 })));
    assert!(answers.iter().all(|a| !matches!(a.fault, Some(Fault::Stale(skew)) if !within(skew, Span { from_ms: 7, to_ms: 9 }))));

    let notices: Vec<_> = numbers(4_000).map(|n| notice(&profile, Party::Ecny, News::Refund, &n, 0)).collect();
    let told = |told| notices.iter().filter(|n| n.told == told).count();
    assert_eq!(told(Told::Truth), 0, "a whole leaves nothing over");
    for lie in [Told::Nothing, Told::OtherMerchant, Told::OtherAmount, Told::OtherCurrency] {
        assert!((850..1_150).contains(&told(lie)), "{lie:?}");
    }
    assert!(notices.iter().all(|n| matches!(n.deliveries, 1 | 4) && matches!(n.behind, 0 | 3)));

    let fates: Vec<_> = numbers(2_000).map(|n| fate(&profile, Party::Acquirer, &n)).collect();
    assert!(fates.iter().all(|f| f.declined.is_some() && f.refund_fails && f.payout_returns.is_none() && f.late_success.is_none()));
    assert_eq!(fates.iter().filter_map(|f| f.declined).collect::<HashSet<_>>().len(), 5);
    let arrived = numbers(2_000).filter(|n| share_arrives(&profile, Party::Wechat, n, "1900000110")).count();
    assert!((1_500..1_700).contains(&arrived), "{arrived}");
}

#[test]
fn somebody_is_down_in_their_time_or_by_the_switch() {
    let down = profile("[[down]]\nparty = \"bank\"\nduring_ms = [100, 200]\nhow = \"silence\"\n[[down]]\nduring_ms = [150, 160]\n");
    let expected = [
        (99, [None, None]),
        (100, [None, Some(Outage::Silence)]),
        (155, [Some(Outage::Reset), Some(Outage::Silence)]),
        (200, [None, None]),
    ];
    for (at, how) in expected {
        assert_eq!([Party::Acquirer, Party::Bank].map(|party| down.down(party, at)), how, "{at}");
    }
    let chaos = Chaos::begin("calm").unwrap();
    assert_eq!(chaos.switch(Party::Wechat, Some(Outage::Busy)).len(), 1);
    assert_eq!([Party::Wechat, Party::Bank].map(|party| chaos.down(party)), [Some(Outage::Busy), None]);
    assert!(chaos.switch(Party::Wechat, None).is_empty());
    assert_eq!(chaos.down(Party::Wechat), None);
}

#[test]
fn a_request_is_known_by_party_kind_and_number_whatever_its_protocol() {
    let n = "0123456789abcdef0123456789abcdef";
    let (post, get) = (Method::POST, Method::GET);
    let trade = format!("method=alipay.trade.refund&biz_content=%7B%22out_trade_no%22%3A%22t%22%2C%22out_request_no%22%3A%22{n}%22%7D");
    let cases = [
        (&post, "/acquirer/v1/payments".to_owned(), format!("{{\"request_no\":\"{n}\"}}"), Party::Acquirer, Kind::Pay),
        (&get, format!("/acquirer/v1/payments/{n}"), String::new(), Party::Acquirer, Kind::Query),
        (&post, format!("/acquirer/v1/payments/{n}/close"), "{}".to_owned(), Party::Acquirer, Kind::Close),
        (&get, format!("/acquirer/v1/refunds/{n}"), String::new(), Party::Acquirer, Kind::QueryRefund),
        (&post, "/bank/v1/payouts".to_owned(), format!("{{\"request_no\":\"{n}\"}}"), Party::Bank, Kind::Payout),
        (&get, format!("/bank/v1/payouts/{n}"), String::new(), Party::Bank, Kind::QueryPayout),
        (&post, "/v3/pay/transactions/native".to_owned(), format!("{{\"out_trade_no\":\"{n}\"}}"), Party::Wechat, Kind::Pay),
        (&get, format!("/v3/pay/transactions/out-trade-no/{n}?mchid=1"), String::new(), Party::Wechat, Kind::Query),
        (&post, format!("/v3/pay/transactions/out-trade-no/{n}/close"), String::new(), Party::Wechat, Kind::Close),
        (&post, "/v3/refund/domestic/refunds".to_owned(), format!("{{\"out_refund_no\":\"{n}\"}}"), Party::Wechat, Kind::Refund),
        (&post, "/v3/profitsharing/orders".to_owned(), format!("{{\"out_order_no\":\"{n}\"}}"), Party::Wechat, Kind::Other),
        (&post, "/alipay/gateway.do".to_owned(), trade.clone(), Party::Alipay, Kind::Refund),
        (&post, format!("/alipay/gateway.do?{trade}"), String::new(), Party::Alipay, Kind::Refund),
        (&post, "/gateway/api/queryTrans.do".to_owned(), format!("orderId={n}&txnType=00"), Party::UnionPay, Kind::Query),
        (&post, "/gateway/api/backTransReq.do".to_owned(), format!("orderId={n}&txnType=04"), Party::UnionPay, Kind::Refund),
        (&post, "/ecny/v1".to_owned(), format!("{{\"action\":\"CLOSE\",\"request_no\":\"{n}\"}}"), Party::Ecny, Kind::Close),
    ];
    for (method, uri, body, party, kind) in cases {
        let found = asked(method, &uri.parse::<Uri>().unwrap(), body.as_bytes()).unwrap_or_else(|| panic!("{uri}"));
        assert_eq!((found.party, found.kind, found.number.as_str()), (party, kind, n), "{uri}");
    }
    for (method, uri) in
        [(&get, "/pay/T1"), (&post, "/pay/T1/confirm"), (&get, "/alipay/gateway.do"), (&post, "/control/down"), (&get, "/livez")]
    {
        assert_eq!(asked(method, &uri.parse::<Uri>().unwrap(), b""), None, "{uri}");
    }
    let nameless = |body: &[u8]| asked(&post, &Uri::from_static("/ecny/v1"), body).unwrap().number;
    assert_eq!((nameless(b"{}").len(), nameless(b"{}") == nameless(b"[]")), (32, false), "a fingerprint names what has no number");
}
