//! A batcher over numbers: every turn of its lanes is decided by the test.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;

/// Doubles numbers, one batch per permit of `gate`, and keeps a record of the batches it was given.
struct Doubling {
    batches: Mutex<Vec<Vec<u32>>>,
    gate: Semaphore,
    finished: AtomicBool,
}

/// Refused by itself, among others.
const REFUSED: u32 = 1_000;
/// Fails the whole batch it is in.
const POISON: u32 = 1_001;
/// Panics.
const PANIC: u32 = 1_002;

impl Batched for Arc<Doubling> {
    type Command = u32;
    type Answer = u32;
    type Error = &'static str;

    fn lane(&self, command: &u32) -> u64 {
        u64::from(command / 10_000)
    }

    fn bytes(&self, command: &u32) -> usize {
        *command as usize
    }

    async fn run(&self, batch: &[u32]) -> Result<Vec<Result<u32, &'static str>>, &'static str> {
        self.batches.lock().unwrap().push(batch.to_vec());
        self.gate.acquire().await.unwrap().forget();
        self.finished.store(true, Ordering::SeqCst);
        assert!(!batch.contains(&PANIC), "told to panic");
        if batch.contains(&POISON) {
            return Err("poisoned");
        }
        Ok(batch.iter().map(|&n| if n == REFUSED { Err("refused") } else { Ok(n * 2) }).collect())
    }
}

const LIMITS: Limits = Limits { lanes: 1, batch_max: 100, batch_bytes_max: usize::MAX, waiting_max: 100, pause: Duration::ZERO };

struct Scene {
    work: Arc<Doubling>,
    batcher: Batcher<Arc<Doubling>>,
}

type Call = JoinHandle<Result<u32, SubmitError<&'static str>>>;

impl Scene {
    fn new(limits: Limits) -> Self {
        let work = Arc::new(Doubling { batches: Mutex::default(), gate: Semaphore::new(0), finished: AtomicBool::new(false) });
        Self { batcher: Batcher::new("test", limits, Arc::clone(&work)), work }
    }

    /// One call, until it waits in its lane or was taken.
    async fn call(&self, command: u32) -> Call {
        let batcher = self.batcher.clone();
        let call = tokio::spawn(async move { batcher.submit(command).await });
        self.settled().await;
        call
    }

    /// Calls a lane that runs a batch which does not end, so that all that comes after waits.
    async fn busy(limits: Limits) -> (Self, Call) {
        let scene = Self::new(limits);
        let first = scene.call(1).await;
        assert_eq!(scene.batches(), [[1]]);
        (scene, first)
    }

    /// Lets so many batches end.
    async fn let_end(&self, batches: usize) {
        self.work.gate.add_permits(batches);
        self.settled().await;
    }

    /// The runtime has one thread and nothing here waits for the outside: some yields run all there is to run.
    async fn settled(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    fn batches(&self) -> Vec<Vec<u32>> {
        self.work.batches.lock().unwrap().clone()
    }
}

/// What must come: all gates are open by now, so a wait is a fault.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("the lane does not move")
}

/// An answer in words, for tables.
async fn told(call: Call) -> String {
    match soon(call).await.unwrap() {
        Ok(n) => n.to_string(),
        Err(SubmitError::Failed(why)) => why.to_owned(),
        Err(SubmitError::Busy { .. }) => "busy".to_owned(),
        Err(SubmitError::Stopped) => "stopped".to_owned(),
    }
}

#[tokio::test]
async fn an_idle_lane_runs_a_lone_command_at_once_and_by_itself() {
    let scene = Scene::new(LIMITS);
    for n in [3, 4, 5] {
        let call = scene.call(n).await;
        assert_eq!(scene.batches().last(), Some(&vec![n]), "it runs before anybody else comes");
        scene.let_end(1).await;
        assert_eq!(told(call).await, (n * 2).to_string());
    }
    assert_eq!(scene.batches(), [[3], [4], [5]]);
}

#[tokio::test]
async fn what_comes_while_a_batch_runs_goes_together_in_the_next_and_each_gets_its_own_answer() {
    let (scene, first) = Scene::busy(LIMITS).await;
    let mut calls = vec![first];
    for n in [7, REFUSED, 5, 9] {
        calls.push(scene.call(n).await);
    }
    scene.let_end(2).await;
    assert_eq!(scene.batches(), [vec![1], vec![7, REFUSED, 5, 9]]);
    let mut answers = Vec::new();
    for call in calls {
        answers.push(told(call).await);
    }
    assert_eq!(answers, ["2", "14", "refused", "10", "18"]);
}

#[tokio::test]
async fn a_lane_rests_after_a_batch_of_several_unless_the_next_is_full_already() {
    let pause = Duration::from_secs(3_600);
    let (scene, _first) = Scene::busy(Limits { pause, batch_max: 3, ..LIMITS }).await;
    let two = [scene.call(2).await, scene.call(3).await];
    scene.let_end(2).await;
    assert_eq!(scene.batches(), [vec![1], vec![2, 3]], "no rest after a lone one");
    for call in two {
        assert_ne!(told(call).await, "stopped");
    }
    let _rests = scene.call(4).await;
    assert_eq!(scene.batches().len(), 2, "it rests");

    let (scene, _first) = Scene::busy(Limits { pause: Duration::from_millis(1), ..LIMITS }).await;
    let calls = [scene.call(2).await, scene.call(3).await];
    scene.let_end(2).await;
    let later = scene.call(4).await;
    scene.let_end(1).await;
    assert_eq!(told(later).await, "8", "the rest ends");
    drop(calls);

    let (scene, _first) = Scene::busy(Limits { pause, batch_max: 3, ..LIMITS }).await;
    for n in [2, 3, 4, 5, 6, 7] {
        drop(scene.batcher.admit(n).map(std::mem::forget));
    }
    scene.let_end(3).await;
    assert_eq!(scene.batches(), [vec![1], vec![2, 3, 4], vec![5, 6, 7]], "no rest before a full one");
}

#[tokio::test]
async fn a_batch_is_bounded_in_members_and_in_bytes_and_keeps_the_order() {
    let (scene, _first) = Scene::busy(Limits { batch_max: 3, batch_bytes_max: 100, ..LIMITS }).await;
    for n in [10, 11, 12, 13, 60, 41, 500, 30, 30, 30] {
        drop(scene.call(n).await);
    }
    scene.let_end(100).await;
    assert_eq!(scene.batches(), [vec![1], vec![10, 11, 12], vec![13, 60], vec![41], vec![500], vec![30, 30, 30]]);
}

#[tokio::test]
async fn lanes_do_not_wait_for_each_other() {
    let (scene, _first) = Scene::busy(Limits { lanes: 2, ..LIMITS }).await;
    let same = scene.call(2).await;
    assert_eq!(scene.batches().len(), 1, "the lane is busy");
    let other = scene.call(10_000).await;
    assert_eq!(scene.batches(), [[1], [10_000]]);
    scene.let_end(3).await;
    assert_eq!((told(same).await, told(other).await), ("4".to_owned(), "20000".to_owned()));
}

#[tokio::test]
async fn beyond_its_bound_a_lane_refuses_and_takes_callers_again_once_it_has_moved() {
    let (scene, _first) = Scene::busy(Limits { waiting_max: 2, ..LIMITS }).await;
    let waiting = [scene.call(2).await, scene.call(3).await];
    let refused = soon(scene.call(4).await).await.unwrap();
    assert!(matches!(refused, Err(SubmitError::Busy { retry_after }) if retry_after >= RETRY_AFTER_MIN), "{refused:?}");
    scene.let_end(2).await;
    for call in waiting {
        assert_ne!(told(call).await, "busy");
    }
    let later = scene.call(5).await;
    scene.let_end(1).await;
    assert_eq!(told(later).await, "10");
    assert_eq!(scene.batches(), [vec![1], vec![2, 3], vec![5]], "the refused one never ran");
}

#[tokio::test]
async fn a_caller_that_goes_away_while_it_waits_is_left_out() {
    let (scene, first) = Scene::busy(LIMITS).await;
    let (gone, stays) = (scene.call(2).await, scene.call(3).await);
    gone.abort();
    first.abort();
    scene.settled().await;
    scene.let_end(2).await;
    assert_eq!(told(stays).await, "6");
    assert_eq!(scene.batches(), [[1], [3]], "what was formed runs whole, what waited does not run");
}

#[tokio::test]
async fn a_lane_whose_callers_all_went_away_is_idle_again() {
    let (scene, _first) = Scene::busy(LIMITS).await;
    let gone = scene.call(2).await;
    gone.abort();
    scene.settled().await;
    scene.let_end(1).await;
    let call = scene.call(3).await;
    scene.let_end(1).await;
    assert_eq!(told(call).await, "6");
    assert_eq!(scene.batches(), [[1], [3]]);
}

#[tokio::test]
async fn a_poisoned_or_panicking_member_never_fails_its_neighbours() {
    for (bad, expected) in [(POISON, "poisoned"), (PANIC, "stopped")] {
        let (scene, _first) = Scene::busy(LIMITS).await;
        let calls = [scene.call(2).await, scene.call(bad).await, scene.call(REFUSED).await, scene.call(3).await];
        scene.let_end(2).await;
        let later = scene.call(4).await;
        scene.let_end(5).await;
        let mut answers = Vec::new();
        for call in calls.into_iter().chain([later]) {
            answers.push(told(call).await);
        }
        assert_eq!(answers, ["4", expected, "refused", "6", "8"], "{bad}");
        assert_eq!(scene.batches()[1..], [vec![2, bad, REFUSED, 3], vec![2], vec![bad], vec![REFUSED], vec![3], vec![4]]);
    }
}

#[tokio::test]
async fn a_lone_member_that_fails_is_told_so_without_a_second_try() {
    for (bad, expected) in [(POISON, "poisoned"), (PANIC, "stopped")] {
        let scene = Scene::new(LIMITS);
        let call = scene.call(bad).await;
        scene.let_end(1).await;
        assert_eq!(told(call).await, expected);
        assert_eq!(scene.batches(), [[bad]]);
    }
}

#[tokio::test]
async fn dropping_the_last_handle_lets_a_running_batch_finish() {
    let (scene, first) = Scene::busy(LIMITS).await;
    let Scene { work, batcher } = scene;
    first.abort();
    drop(batcher);
    tokio::task::yield_now().await;
    assert!(!work.finished.load(Ordering::SeqCst));
    work.gate.add_permits(1);
    soon(async {
        // the lane lets go of its work once nobody waits
        while Arc::strong_count(&work) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(work.finished.load(Ordering::SeqCst));
}

#[test]
fn a_lane_whose_runtime_went_away_tells_who_waits_and_starts_anew_in_another() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = runtime();
    let (scene, waiting) = first.block_on(async {
        let (scene, running) = Scene::busy(LIMITS).await;
        let mut waiting = Box::pin({
            let batcher = scene.batcher.clone();
            async move { batcher.submit(2).await }
        });
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(running);
        (scene, waiting)
    });
    drop(first);
    runtime().block_on(async {
        assert!(matches!(soon(waiting).await, Err(SubmitError::Stopped)));
        let call = scene.call(3).await;
        scene.let_end(1).await;
        assert_eq!(told(call).await, "6");
    });
}

#[test]
fn a_refused_caller_is_told_to_wait_as_long_as_the_queue_needs() {
    let ms = Duration::from_millis;
    let cases = [
        (ms(0), 0, 100, RETRY_AFTER_MIN),
        (ms(5), 100, 100, RETRY_AFTER_MIN),
        (ms(200), 0, 100, ms(200)),
        (ms(200), 99, 100, ms(200)),
        (ms(200), 1_000, 100, ms(2_200)),
        (ms(200), usize::MAX, 1, RETRY_AFTER_MAX),
    ];
    for (batch_time, waiting, batch_max, expected) in cases {
        assert_eq!(retry_after(batch_time, waiting, batch_max), expected, "{batch_time:?} {waiting} {batch_max}");
    }
}
