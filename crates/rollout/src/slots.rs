//! The slots of a decoding batch: who sits where, when to let new requests in, when to shrink. Pure
//! bookkeeping; no tensor.

/// A sequence that is being decoded.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    /// Index of its request.
    pub(crate) request: usize,
    /// The token to feed next.
    pub(crate) token: u32,
    /// That token's position; the sequence then has `position + 1` tokens in the cache.
    pub(crate) position: u32,
}

/// The slots, and where each of them is in the cache's ring.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Option<Active>>,
    /// The column that each slot writes next.
    columns: Vec<usize>,
    ring: usize,
}

impl Slots {
    /// `count` free slots over a ring of so many columns.
    pub(crate) fn new(count: usize, ring: usize) -> Self {
        Self { slots: vec![None; count], columns: vec![0; count], ring }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    /// Free slots to fill, or none when filling should wait: a prefill of many costs little more than one of
    /// few, so newcomers enter an eighth of the batch at a time.
    pub(crate) fn admissible(&self, waiting: usize) -> Vec<usize> {
        let free: Vec<usize> = (0..self.slots.len()).filter(|&slot| self.slots[slot].is_none()).collect();
        let worthwhile = (self.slots.len() / 8).max(1).min(waiting);
        if waiting == 0 || free.len() < worthwhile {
            Vec::new()
        } else {
            free.into_iter().take(waiting).collect()
        }
    }

    pub(crate) fn assign(&mut self, slot: usize, active: Active) {
        self.slots[slot] = Some(active);
    }

    /// The slots to keep when no one waits and the batch has thinned out; none while shrinking costs more than
    /// it saves.
    pub(crate) fn shrunk(&self, waiting: usize) -> Option<Vec<usize>> {
        let taken: Vec<usize> = (0..self.slots.len()).filter(|&slot| self.slots[slot].is_some()).collect();
        (waiting == 0 && !taken.is_empty() && taken.len() * 8 <= self.slots.len() * 7).then_some(taken)
    }

    pub(crate) fn select(&mut self, kept: &[usize]) {
        self.columns = kept.iter().map(|&slot| self.columns[slot]).collect();
        self.slots = kept.iter().map(|&slot| self.slots[slot].take()).collect();
    }

    /// The column that each slot writes next.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Lets free slots, whose past counts no longer, write the same column next, which is returned: prompts that come into
    /// them end right before it.
    pub(crate) fn align(&mut self, free: &[usize]) -> usize {
        let column = free.first().map_or(0, |&slot| self.columns[slot]);
        for &slot in free {
            self.columns[slot] = column;
        }
        column
    }

    /// All who sit, with their slots, which are free then. Every slot has written a column.
    pub(crate) fn take_active(&mut self) -> Vec<(usize, Active)> {
        for slot in 0..self.slots.len() {
            self.advance(slot);
        }
        self.slots.iter_mut().enumerate().filter_map(|(slot, active)| Some((slot, active.take()?))).collect()
    }

    /// The slot has written a column.
    pub(crate) fn advance(&mut self, slot: usize) {
        self.columns[slot] = (self.columns[slot] + 1) % self.ring;
    }

    /// The columns that lie so many before the next ones.
    pub(crate) fn columns_before(&self, count: usize) -> Vec<usize> {
        self.columns.iter().map(|&column| (column + self.ring - count % self.ring) % self.ring).collect()
    }

    /// Tokens and positions to feed, one a slot; free slots repeat token 0 at position 0.
    pub(crate) fn inputs(&self) -> (Vec<u32>, Vec<u32>) {
        self.slots
            .iter()
            .map(|slot| slot.as_ref().map_or((0, 0), |active| (active.token, active.position)))
            .unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::{Active, Slots};

    fn seated(count: usize, taken: &[usize]) -> Slots {
        let mut slots = Slots::new(count, 4);
        for &slot in taken {
            slots.assign(slot, Active { request: slot, token: 7, position: 1 });
        }
        slots
    }

    #[test]
    fn newcomers_enter_in_batches_but_the_last_are_not_kept_waiting() {
        let slots = seated(32, &(0..30).collect::<Vec<_>>());
        assert!(slots.admissible(10).is_empty(), "2 of 32 free: not yet");
        assert_eq!(slots.admissible(2), [30, 31]);
    }

    #[test]
    fn the_batch_shrinks_only_when_nobody_waits() {
        let slots = seated(16, &[1, 5]);
        assert_eq!(slots.shrunk(0), Some(vec![1, 5]));
        assert_eq!(slots.shrunk(1), None);
        assert_eq!(seated(16, &(0..15).collect::<Vec<_>>()).shrunk(0), None);
    }
}
