//! The step budget of one verdict. It counts work, not time, so that the same text always gets the same verdict.

use std::cell::Cell;

/// Work for one verdict. A step is one to two microseconds, so that the whole stays far under 50 ms.
const STEPS: u64 = 10_000;

/// The budget ran out, or a number, a tree or a list exceeded its bound: nobody can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Steps that are left.
#[derive(Debug)]
pub(super) struct Budget(Cell<u64>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Cell::new(STEPS))
    }

    /// Takes `steps`, or says that they are no longer there.
    pub(super) fn spend(&self, steps: u64) -> Result<(), TooLarge> {
        let left = self.0.get().checked_sub(steps);
        self.0.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or(TooLarge)
    }
}
