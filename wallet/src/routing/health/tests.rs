//! How a monitor moves, state by state.

use super::*;

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000 + ms).unwrap()
}

/// One attempt that ends `delay_ms` later.
fn attempt(monitor: &mut Monitor, ms: i64, delay_ms: i64, outcome: Outcome) {
    let begun = monitor.begin(at(ms));
    monitor.end(&begun, outcome, at(ms + delay_ms));
}

fn opened() -> Monitor {
    let mut monitor = Monitor::new(at(0));
    (0..5).for_each(|n| attempt(&mut monitor, n, 0, Outcome::NoAnswer));
    assert_eq!(monitor.state(), State::Open);
    monitor
}

fn probing() -> Monitor {
    let mut monitor = opened();
    monitor.tick(at(10_004));
    assert_eq!(monitor.state(), State::Probing);
    monitor
}

#[test]
fn five_time_outs_in_a_row_open_at_once_and_four_do_not() {
    let mut monitor = Monitor::new(at(0));
    let mut times = |n, outcome| {
        (0..n).for_each(|_| attempt(&mut monitor, 100, 0, outcome));
        monitor.state()
    };
    // all within one bucket, so that the share of failures says nothing yet
    assert_eq!(times(1_000, Outcome::Taken), State::Healthy);
    assert_eq!(times(4, Outcome::NoAnswer), State::Healthy);
    assert_eq!(times(1, Outcome::Failed(Fault::User)), State::Healthy);
    assert_eq!(times(4, Outcome::NoAnswer), State::Healthy, "an answer in between breaks the row");
    assert_eq!(times(1, Outcome::BadAnswer), State::Healthy);
    assert_eq!(times(1, Outcome::NoAnswer), State::Open, "what cannot be trusted does not break it");
}

#[test]
fn a_failure_of_one_attempt_is_not_believed() {
    for outcome in [Outcome::Failed(Fault::Channel), Outcome::Failed(Fault::Ours), Outcome::BadAnswer, Outcome::NoAnswer] {
        let mut monitor = Monitor::new(at(0));
        (0..4).for_each(|n| attempt(&mut monitor, n * 1_000, 10, outcome));
        assert_eq!(monitor.state(), State::Healthy, "{outcome:?}: four are too few");
        attempt(&mut monitor, 4_000, 10, outcome);
        assert_eq!(monitor.state(), State::Open, "{outcome:?}: five of five are not");
    }
}

#[test]
fn what_users_cause_and_what_was_never_sent_counts_for_nothing() {
    for outcome in [Outcome::Failed(Fault::User), Outcome::NotSent] {
        let mut monitor = Monitor::new(at(0));
        (0..10_000).for_each(|n| attempt(&mut monitor, n * 10, 10, outcome));
        assert_eq!(monitor.view(), View::UNKNOWN, "{outcome:?}");
    }
}

#[test]
fn a_channel_that_fails_one_of_ten_is_degraded_and_recovers_after_the_dwell_time() {
    let mut monitor = Monitor::new(at(0));
    let mut degraded_at = None;
    for n in 0..600_i64 {
        attempt(&mut monitor, n * 100, 20, if n % 10 == 0 { Outcome::BadAnswer } else { Outcome::Taken });
        assert_ne!(monitor.state(), State::Open);
        degraded_at = degraded_at.or((monitor.state() == State::Degraded).then_some(n));
    }
    assert!(degraded_at.is_some());
    assert!(monitor.view().failing_ppm > 50_000 && monitor.view().failing_ppm < 250_000, "{:?}", monitor.view());
    for n in 600..1_400_i64 {
        attempt(&mut monitor, n * 100, 20, Outcome::Taken);
    }
    assert_eq!(monitor.state(), State::Healthy);
}

#[test]
fn a_degraded_channel_does_not_recover_within_the_dwell_time() {
    let mut monitor = Monitor::new(at(0));
    (0..6).for_each(|n| attempt(&mut monitor, n, 1, if n % 2 == 0 { Outcome::BadAnswer } else { Outcome::Taken }));
    let begun: Vec<_> = (0..2_000).map(|_| monitor.begin(at(10))).collect();
    assert_eq!(monitor.state(), State::Degraded);
    begun.iter().for_each(|b| monitor.end(b, Outcome::Taken, at(20)));
    for ms in [21, 5_000, 9_999] {
        monitor.tick(at(ms));
        assert_eq!(monitor.state(), State::Degraded, "{ms}");
    }
    monitor.tick(at(10_100));
    assert_eq!(monitor.state(), State::Healthy);
}

#[test]
fn a_degraded_channel_does_not_recover_by_silence() {
    let mut monitor = Monitor::new(at(0));
    (0..4).for_each(|n| attempt(&mut monitor, n, 1, Outcome::Taken));
    (0..3).for_each(|n| attempt(&mut monitor, 10 + n, 1, Outcome::BadAnswer));
    assert_eq!(monitor.state(), State::Degraded);
    monitor.tick(at(1_000_000));
    assert_eq!((monitor.state(), monitor.view().failing_ppm), (State::Degraded, 0), "all is forgotten, and nothing is better");
    attempt(&mut monitor, 1_000_000, 1, Outcome::Failed(Fault::User));
    assert_eq!(monitor.state(), State::Degraded);
    attempt(&mut monitor, 1_000_100, 1, Outcome::Taken);
    assert_eq!(monitor.state(), State::Healthy);
}

#[test]
fn slow_answers_degrade_and_never_open() {
    let mut monitor = Monitor::new(at(0));
    (0..20).for_each(|n| attempt(&mut monitor, n * 4_000, 3_500, Outcome::Taken));
    monitor.tick(at(80_000));
    assert_eq!(monitor.state(), State::Degraded);
    assert_eq!(monitor.view().failing_ppm, 0);
}

#[test]
fn a_channel_that_hangs_is_open_before_its_calls_time_out() {
    let mut monitor = Monitor::new(at(0));
    (0..1_000).for_each(|n| attempt(&mut monitor, n * 50, 80, Outcome::Taken));
    let mut waiting = Vec::new();
    for n in 0..60 {
        waiting.push(monitor.begin(at(50_100 + n * 50)));
        monitor.tick(at(50_100 + n * 50));
    }
    assert_eq!(monitor.state(), State::Open, "within three seconds, and not one call has ended");
    waiting.iter().for_each(|b| monitor.end(b, Outcome::Taken, at(53_200)));
    assert_eq!(monitor.state(), State::Open, "what began before it opened is heard no more");
}

#[test]
fn an_open_channel_is_tried_after_the_dwell_time_with_a_bounded_number() {
    let mut monitor = opened();
    monitor.tick(at(10_003));
    assert_eq!((monitor.state(), monitor.view().trials_left), (State::Open, 0));
    assert_eq!(monitor.view().until, Some(at(10_004)));
    monitor.tick(at(10_004));
    assert_eq!((monitor.state(), monitor.view().trials_left), (State::Probing, TRIALS_MAX));
    let begun: Vec<_> = (0..7).map(|n| monitor.begin(at(10_010 + n))).collect();
    assert_eq!((monitor.view().trials_left, monitor.trials.len()), (0, TRIALS_MAX));
    monitor.end(&begun[6], Outcome::NoAnswer, at(10_020));
    assert_eq!((monitor.state(), monitor.trials.len()), (State::Probing, TRIALS_MAX), "one that was not a trial proves nothing");
    monitor.end(&begun[0], Outcome::Failed(Fault::User), at(10_020));
    assert_eq!((monitor.view().trials_left, monitor.trials_good, monitor.trials_bad), (1, 0, 0));
}

#[test]
fn seven_good_trials_bring_it_back_after_the_dwell_time() {
    let mut monitor = probing();
    (0..6).for_each(|n| attempt(&mut monitor, 10_100 + n, 1, Outcome::Taken));
    monitor.tick(at(60_000));
    assert_eq!(monitor.state(), State::Probing, "six prove too little, however long it takes");
    attempt(&mut monitor, 60_000, 1, Outcome::Taken);
    assert_eq!(monitor.state(), State::Healthy);

    let mut monitor = probing();
    (0..50).for_each(|n| attempt(&mut monitor, 10_100 + n, 1, Outcome::Taken));
    monitor.tick(at(20_003));
    assert_eq!(monitor.state(), State::Probing, "not before the dwell time");
    monitor.tick(at(20_004));
    assert_eq!(monitor.state(), State::Healthy);
    assert_eq!(monitor.openings, 0);
}

#[test]
fn a_trial_that_times_out_opens_at_once_and_for_twice_as_long() {
    let mut monitor = probing();
    attempt(&mut monitor, 10_100, 10, Outcome::NoAnswer);
    assert_eq!((monitor.state(), monitor.view().until), (State::Open, Some(at(30_110))));
    let mut lost = probing();
    lost.begin(at(10_100));
    lost.tick(at(40_100));
    assert_eq!(lost.state(), State::Probing);
    lost.tick(at(40_101));
    assert_eq!(lost.state(), State::Open, "nobody ever told what became of it");
    for _ in 0..10 {
        let until = lost.view().until.unwrap();
        lost.tick(until);
        let begun = lost.begin(until);
        lost.end(&begun, Outcome::NoAnswer, until);
        assert!(lost.view().until.unwrap() - until <= OPEN_MAX);
    }
    assert_eq!(lost.view().until.unwrap() - lost.since, OPEN_MAX);
}

#[test]
fn trials_that_fail_otherwise_open_by_their_bound() {
    let mut monitor = probing();
    attempt(&mut monitor, 10_100, 10, Outcome::BadAnswer);
    assert_eq!(monitor.state(), State::Probing, "one of one is not enough");
    attempt(&mut monitor, 10_200, 10, Outcome::Failed(Fault::Ours));
    assert_eq!(monitor.state(), State::Open);
}

#[test]
fn an_operator_has_the_last_word() {
    let mut monitor = Monitor::new(at(0));
    monitor.disable(at(5));
    (0..100).for_each(|n| attempt(&mut monitor, 10 + n, 1, Outcome::NoAnswer));
    monitor.tick(at(1_000_000));
    assert_eq!(monitor.state(), State::Disabled);
    monitor.enable(at(1_000_001));
    assert_eq!(monitor.state(), State::Probing);
    monitor.maintain(at(2_000_000), at(1_000_002));
    monitor.tick(at(1_999_999));
    assert_eq!((monitor.state(), monitor.view().until), (State::Maintenance, Some(at(2_000_000))));
    monitor.tick(at(2_000_000));
    assert_eq!(monitor.state(), State::Probing);
    let mut open = opened();
    open.enable(at(100));
    assert_eq!(open.state(), State::Open, "enabling does not close what failures opened");
}

#[test]
fn a_clock_that_goes_back_stands_still() {
    let mut monitor = opened();
    monitor.tick(at(-1_000_000));
    attempt(&mut monitor, -50_000, 10, Outcome::Taken);
    assert_eq!(monitor.view().until, Some(at(10_004)));
    monitor.tick(at(10_004));
    assert_eq!(monitor.state(), State::Probing);
    let mut monitor = Monitor::new(at(0));
    monitor.disable(at(-50_000));
    monitor.enable(at(-50_000));
    attempt(&mut monitor, -50_000, 10, Outcome::NoAnswer);
    assert_eq!(monitor.view().until, Some(at(10_000)), "no state is left earlier because the clock went back");
}

#[test]
fn what_began_before_it_was_open_is_heard_no_more() {
    let mut monitor = Monitor::new(at(0));
    let early: Vec<_> = (0..10).map(|_| monitor.begin(at(0))).collect();
    (0..5).for_each(|n| attempt(&mut monitor, n, 0, Outcome::NoAnswer));
    monitor.tick(at(10_004));
    (0..10).for_each(|n| attempt(&mut monitor, 10_100 + n, 1, Outcome::Taken));
    monitor.tick(at(20_004));
    assert_eq!(monitor.state(), State::Healthy);
    early.iter().for_each(|begun| monitor.end(begun, Outcome::NoAnswer, at(20_100)));
    assert_eq!((monitor.state(), monitor.view().failing_ppm), (State::Healthy, 0));
}

#[test]
fn a_call_s_answer_says_whose_doing_it_was() {
    let fault = |code: &str| if code == "NOTENOUGH" { Fault::User } else { Fault::Ours };
    let said = |word| Outcome::of(&Ok(PaymentState { invitation: None, word }), fault);
    let failed = |code: &str| PaymentWord::Failed { code: code.to_owned() };
    let refused = |code: &str| Outcome::of(&Err(ChannelError::Refused { code: code.to_owned() }), fault);
    assert_eq!(said(PaymentWord::Pending), Outcome::Taken);
    assert_eq!(said(PaymentWord::Closed), Outcome::Taken);
    assert_eq!(said(failed("NOTENOUGH")), Outcome::Failed(Fault::User));
    assert_eq!(said(failed("NEVER_SEEN")), Outcome::Failed(Fault::Ours));
    assert_eq!(refused("NOTENOUGH"), Outcome::Failed(Fault::User));
    assert_eq!(refused("NEVER_SEEN"), Outcome::Failed(Fault::Ours));
    assert_eq!(Outcome::of(&Err(ChannelError::NoAnswer("slow".into())), fault), Outcome::NoAnswer);
    assert_eq!(Outcome::of(&Err(ChannelError::BadAnswer("unsigned")), fault), Outcome::BadAnswer);
}

#[test]
fn a_group_is_a_small_number() {
    assert_eq!(Group::try_from(7).map(u8::from), Ok(7));
    assert_eq!(Group::try_from(8), Err(BadGroup));
    assert!(serde_json::from_str::<Group>("8").is_err());
}
