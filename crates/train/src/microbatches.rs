//! The microbatches of a step on several threads, with the result of one: gradients are summed in the order of the
//! microbatches, whoever was first. On CPUs this is the parallelism that counts: a small decoder's operations are
//! too small to be split themselves.

use crate::config::RouterTraining;
use crate::gradients::Gradients;
use crate::tracked_loss::Objective;
use burn::module::Module;
use ruminate_model::Decoder;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Microbatches of all trainers of this process.
static DONE: AtomicU64 = AtomicU64::new(0);

/// Microbatches whose gradients this process has computed, by whatever trainer: what a progress bar shows within a step. No
/// result depends on it.
pub fn microbatches_done() -> u64 {
    DONE.load(Ordering::Relaxed)
}

/// Sums the gradients of every microbatch's loss, and returns what `loss` reported of each, in order.
///
/// `loss` gets a decoder of its own graph on the same weights, and gives the microbatch's share of the step's loss
/// (already divided by the whole step's count); None skips the microbatch.
pub fn accumulate<M: Sync, T: Send>(
    policy: &Decoder,
    microbatches: &[M],
    router: RouterTraining,
    workers: NonZeroUsize,
    loss: impl Fn(&Decoder, &M) -> Option<(Objective, T)> + Sync,
) -> (Gradients, Vec<T>) {
    let sum = InOrder::new(router);
    let next = AtomicUsize::new(0);
    let work = |decoder: &Decoder| {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(microbatch) = microbatches.get(index) else { return };
            let part = loss(decoder, microbatch).map(|(objective, report)| {
                let mut gradients = Gradients::new(router);
                gradients.backward(decoder, objective);
                (gradients, report)
            });
            sum.insert(index, part);
            DONE.fetch_add(1, Ordering::Relaxed);
        }
    };
    let workers = workers.get().min(microbatches.len());
    if workers <= 1 {
        work(policy);
    } else {
        // In the pool that also shares out large operations: a worker splits its own, and who is idle takes a part.
        rayon::scope(|scope| {
            for _ in 0..workers {
                // Leaves of its own: decoders that share leaves share a graph, and graphs have a lock.
                let decoder = policy.clone().fork(&policy.device());
                scope.spawn(|_| {
                    let decoder = decoder;
                    work(&decoder);
                });
            }
        });
    }
    sum.into_sum()
}

/// Adds parts in the order of their indices; floating-point addition is not associative.
struct InOrder<T>(Mutex<Queue<T>>);

/// A microbatch's gradients and what is reported of it; None of one that was skipped.
type Part<T> = Option<(Gradients, T)>;

struct Queue<T> {
    waiting: BTreeMap<usize, Part<T>>,
    next: usize,
    /// What has been added; taken away while somebody adds to it.
    sum: Option<(Gradients, Vec<T>)>,
}

impl<T> InOrder<T> {
    fn new(router: RouterTraining) -> Self {
        let sum = Some((Gradients::new(router), Vec::new()));
        Self(Mutex::new(Queue { waiting: BTreeMap::new(), next: 0, sum }))
    }

    /// Adds the part, and whatever waited for it. A worker that comes while another one adds leaves its part to that one.
    ///
    /// The lock is free during additions: they run in the pool, whose threads, while they wait, may begin another
    /// microbatch, which ends here.
    fn insert(&self, index: usize, part: Part<T>) {
        let mut queue = self.queue();
        queue.waiting.insert(index, part);
        while let Some(part) = queue.take_next() {
            let Some((gradients, report)) = part else { continue };
            let Some((mut sum, mut reports)) = queue.sum.take() else {
                unreachable!("`take_next` saw to it")
            };
            drop(queue);
            sum.merge(gradients);
            reports.push(report);
            queue = self.queue();
            queue.sum = Some((sum, reports));
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        // A panic of another worker will be raised when the scope ends.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn into_sum(self) -> (Gradients, Vec<T>) {
        let queue = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        queue.sum.expect("nobody adds any more")
    }
}

impl<T> Queue<T> {
    /// The part whose turn it is, if it has come and nobody is adding.
    fn take_next(&mut self) -> Option<Part<T>> {
        self.sum.as_ref()?;
        let part = self.waiting.remove(&self.next)?;
        self.next += 1;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::InOrder;
    use crate::config::RouterTraining;
    use crate::gradients::Gradients;

    #[test]
    fn parts_are_added_in_their_order_whoever_was_first() {
        let sum = InOrder::new(RouterTraining::Update);
        let part = |report| Some((Gradients::new(RouterTraining::Update), report));
        sum.insert(2, part('c'));
        sum.insert(0, part('a'));
        assert_eq!(sum.queue().sum.as_ref().map(|(_, reports)| reports.clone()), Some(vec!['a']));
        sum.insert(1, None);
        assert_eq!(sum.into_sum().1, ['a', 'c']);
    }
}
