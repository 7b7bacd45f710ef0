//! Judging beside sampling: a group whose completions are all there is judged while others are still being sampled. It
//! knows neither who samples nor how verdicts come about.

use ruminate_data::{Completion, Score, Task, Verdict};
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What was sampled and judged.
pub(crate) struct Judged<T> {
    /// What sampling returned.
    pub(crate) sampled: T,
    /// Completions and verdicts of each task, in the order of the tasks.
    pub(crate) groups: Vec<(Vec<Completion>, Vec<Verdict>)>,
    /// From the end of sampling to the last verdict.
    pub(crate) waited: Duration,
}

/// Runs `sample`, which hands over the completions of each of `tasks`, by its index and in any order, and has `score` judge
/// them on another thread meanwhile: one group or several at a time, as they come. Verdicts of a group depend on that
/// group alone, so they are those of one call for all.
///
/// # Errors
/// Those of `sample`.
///
/// # Panics
/// When `score` does, or gives another number of verdicts than there are completions; when `sample` leaves out a task.
pub(crate) fn judge_beside<T, E>(
    tasks: &[&Task],
    score: &(dyn Score + Sync),
    sample: impl FnOnce(&mut dyn FnMut(usize, Vec<Completion>) -> ControlFlow<()>) -> Result<T, E>,
) -> Result<Judged<T>, E> {
    thread::scope(|scope| {
        let (hand_over, finished) = channel();
        let judge = scope.spawn(move || judge(tasks, score, &finished));
        let sampled = sample(&mut |task, completions| match hand_over.send((task, completions)) {
            Ok(()) => ControlFlow::Continue(()),
            // The judge is gone, so it has panicked; nobody needs more.
            Err(_) => ControlFlow::Break(()),
        });
        drop(hand_over);
        let ended = Instant::now();
        let groups = judge.join().unwrap_or_else(|panic| resume_unwind(panic));
        let sampled = sampled?;
        let groups = groups.into_iter().map(|group| group.expect("every task is sampled")).collect();
        Ok(Judged { sampled, groups, waited: ended.elapsed() })
    })
}

type Handed = (usize, Vec<Completion>);

/// Judges what comes until nobody can hand over more.
fn judge(
    tasks: &[&Task],
    score: &dyn Score,
    finished: &Receiver<Handed>,
) -> Vec<Option<(Vec<Completion>, Vec<Verdict>)>> {
    let mut groups = vec![None; tasks.len()];
    while let Ok(first) = finished.recv() {
        // What has come meanwhile is judged together: a pool of threads has more to share then.
        let handed: Vec<Handed> =
            std::iter::once(first).chain(finished.try_iter()).take(tasks.len()).collect();
        let written: Vec<(&Task, &[Completion])> =
            handed.iter().map(|(task, completions)| (tasks[*task], completions.as_slice())).collect();
        let verdicts = score.score(&written);
        assert_eq!(verdicts.len(), handed.len(), "verdicts for every group");
        for ((task, completions), verdicts) in handed.into_iter().zip(verdicts) {
            assert_eq!(verdicts.len(), completions.len(), "one verdict a completion of task {task}");
            groups[task] = Some((completions, verdicts));
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::judge_beside;
    use ruminate_data::{Completion, FinishReason, Outcome, Prompt, Score, Task, Verdict};
    use std::convert::Infallible;
    use std::ops::ControlFlow;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    /// Long enough for a busy machine; what waits in vain fails.
    const PATIENCE: Duration = Duration::from_mins(1);

    fn task(answer: &str) -> Task {
        Task {
            prompt: Prompt::Text(String::new()),
            answer: answer.to_owned(),
            columns: serde_json::Map::new(),
        }
    }

    fn completion(id: u32) -> Completion {
        Completion::new(vec![2], vec![id], vec![0.0], FinishReason::Stop)
    }

    /// The score is the token, the reason names the task.
    fn verdict(task: &Task, completion: &Completion) -> Verdict {
        let score = f64::from(completion.ids[0]);
        let why = task.answer.clone();
        Verdict { outcome: Outcome::Correct, score, extracted: None, why, rewards: Vec::new() }
    }

    /// Says that it has begun, and judges when it is told to.
    struct Slow {
        begun: Mutex<Sender<()>>,
        go_on: Mutex<Receiver<()>>,
    }

    impl Score for Slow {
        fn score(&self, groups: &[(&Task, &[Completion])]) -> Vec<Vec<Verdict>> {
            self.begun.lock().expect("one judge").send(()).expect("the sampler listens");
            self.go_on
                .lock()
                .expect("one judge")
                .recv_timeout(PATIENCE)
                .expect("the sampler goes on meanwhile");
            verdict.score(groups)
        }
    }

    #[test]
    fn sampling_goes_on_while_a_finished_group_is_judged() {
        let (begun, has_begun) = channel();
        let (tell, go_on) = channel();
        let slow = Slow { begun: Mutex::new(begun), go_on: Mutex::new(go_on) };
        let tasks = [task("a"), task("b"), task("c")];
        let judged = judge_beside(&[&tasks[0], &tasks[1], &tasks[2]], &slow, |finished| {
            assert_eq!(finished(1, vec![completion(7), completion(8)]), ControlFlow::Continue(()));
            // Its judgement has begun and will not end before two more groups are there.
            has_begun.recv_timeout(PATIENCE).expect("judging begins before sampling ends");
            let _ = finished(2, vec![completion(5)]);
            let _ = finished(0, vec![completion(9)]);
            tell.send(()).expect("the judge waits");
            tell.send(()).expect("the judge lives");
            Ok::<_, Infallible>("sampled")
        })
        .expect("nothing fails");
        assert_eq!(judged.sampled, "sampled");
        let told: Vec<Vec<(f64, &str)>> = judged
            .groups
            .iter()
            .map(|(_, verdicts)| verdicts.iter().map(|v| (v.score, v.why.as_str())).collect())
            .collect();
        assert_eq!(told, [vec![(9.0, "a")], vec![(7.0, "b"), (8.0, "b")], vec![(5.0, "c")]]);
    }

    #[test]
    fn an_error_of_sampling_comes_out_when_the_judge_is_done() {
        let tasks = [task("a"), task("b")];
        let result = judge_beside(&[&tasks[0], &tasks[1]], &verdict, |finished| {
            let _ = finished(0, vec![completion(3)]);
            Err::<(), _>("no more")
        });
        assert!(matches!(result, Err("no more")));
    }

    #[test]
    #[should_panic(expected = "a broken verifier")]
    fn a_panic_of_the_judge_stops_the_sampling_and_comes_out() {
        let broken = |_: &Task, _: &Completion| -> Verdict { panic!("a broken verifier") };
        let tasks = [task("a")];
        let _ = judge_beside(&[&tasks[0]], &broken, |finished| {
            // Until the judge is gone; it must not be outrun, or memory would fill.
            while finished(0, vec![completion(3)]) == ControlFlow::Continue(()) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok::<_, Infallible>(())
        });
    }
}
