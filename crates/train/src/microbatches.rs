//! The microbatches of a step on several threads, with the result of one: gradients are summed in the order of the
//! microbatches, whoever was first. On CPUs this is the parallelism that counts: a small decoder's operations are
//! too small to be split themselves.

use crate::config::RouterTraining;
use crate::gradients::Gradients;
use crate::objective::Objective;
use burn::module::Module;
use ruminate_model::Decoder;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

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
    let sum = Mutex::new(InOrder::new(router));
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
            // A panic of another worker will be raised when the scope ends.
            sum.lock().unwrap_or_else(PoisonError::into_inner).insert(index, part);
        }
    };
    let workers = workers.get().min(microbatches.len());
    if workers <= 1 {
        work(policy);
    } else {
        std::thread::scope(|scope| {
            for _ in 0..workers {
                // Leaves of its own: decoders that share leaves share a graph, and graphs have a lock.
                let decoder = policy.clone().fork(&policy.device());
                scope.spawn(|| {
                    let decoder = decoder;
                    work(&decoder);
                });
            }
        });
    }
    let InOrder { gradients, reports, .. } = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    (gradients, reports)
}

/// Adds parts in the order of their indices; floating-point addition is not associative.
struct InOrder<T> {
    gradients: Gradients,
    reports: Vec<T>,
    waiting: BTreeMap<usize, Option<(Gradients, T)>>,
    next: usize,
}

impl<T> InOrder<T> {
    fn new(router: RouterTraining) -> Self {
        Self { gradients: Gradients::new(router), reports: Vec::new(), waiting: BTreeMap::new(), next: 0 }
    }

    fn insert(&mut self, index: usize, part: Option<(Gradients, T)>) {
        self.waiting.insert(index, part);
        while let Some(part) = self.waiting.remove(&self.next) {
            self.next += 1;
            if let Some((gradients, report)) = part {
                self.gradients.merge(gradients);
                self.reports.push(report);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::InOrder;
    use crate::config::RouterTraining;
    use crate::gradients::Gradients;

    #[test]
    fn parts_are_added_in_their_order_whoever_was_first() {
        let mut sum = InOrder::new(RouterTraining::Update);
        let part = |report| Some((Gradients::new(RouterTraining::Update), report));
        sum.insert(2, part('c'));
        sum.insert(0, part('a'));
        assert_eq!(sum.reports, ['a']);
        sum.insert(1, None);
        assert_eq!(sum.reports, ['a', 'c']);
    }
}
