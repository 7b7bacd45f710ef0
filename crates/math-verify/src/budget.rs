//! The step budget of one verdict. It counts work, not time, so that the same text always gets the same verdict.

use std::cell::Cell;

/// Work for one verdict. A step is one to two microseconds, so that the whole stays far under 50 ms.
const STEPS: u64 = 10_000;

/// The budget ran out, or a number, a tree or a list exceeded its bound: nothing is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Steps that are left.
#[derive(Debug)]
pub(crate) struct Budget(Cell<u64>);

impl Budget {
    pub(crate) fn new() -> Self {
        Self::after(0)
    }

    /// What is left once so many steps are spent.
    pub(crate) fn after(steps: u64) -> Self {
        Self(Cell::new(STEPS.saturating_sub(steps)))
    }

    /// Whether less than half is left once so many steps are spent.
    pub(crate) fn is_short(steps: u64) -> bool {
        steps > STEPS / 2
    }

    /// Steps that are gone, those of [`after`](Self::after) included.
    pub(crate) fn spent(&self) -> u64 {
        STEPS - self.0.get()
    }

    /// Takes `steps`, or all that is left where there are fewer.
    pub(crate) fn spend(&self, steps: u64) -> Result<(), TooLarge> {
        let left = self.0.get().checked_sub(steps);
        self.0.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or(TooLarge)
    }
}
