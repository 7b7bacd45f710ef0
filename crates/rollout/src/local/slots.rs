//! The slots of a decoding batch: which sequence has which, when to let new requests in, when to shrink. Pure
//! bookkeeping; no tensor.

/// A sequence that is being decoded.
#[derive(Clone, Debug)]
pub(super) struct Active {
    /// Index of its request.
    pub(super) request: usize,
    /// The token to feed next.
    pub(super) token: u32,
    /// That token's position; the sequence then has `position + 1` tokens in the cache.
    pub(super) position: u32,
}

/// The slots, and where each of them is in the cache's ring.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Option<Active>>,
    /// The column that each slot writes next.
    columns: Vec<usize>,
    ring: usize,
}

impl Slots {
    /// `count` free slots over a ring of so many columns.
    pub(super) fn new(count: usize, ring: usize) -> Self {
        Self { slots: vec![None; count], columns: vec![0; count], ring }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    /// How many are taken.
    pub(super) fn active(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// Frees the slot of a request; whether it had one.
    pub(super) fn leave(&mut self, request: usize) -> bool {
        let of_request =
            |slot: &&mut Option<Active>| slot.as_ref().is_some_and(|active| active.request == request);
        self.slots.iter_mut().find(of_request).and_then(Option::take).is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    /// Free slots to fill, or none when filling should wait: a prefill of many costs little more than one of
    /// few, so newcomers enter an eighth of the batch at a time.
    pub(super) fn admissible(&self, waiting: usize) -> Vec<usize> {
        let free: Vec<usize> = (0..self.slots.len()).filter(|&slot| self.slots[slot].is_none()).collect();
        let worthwhile = (self.slots.len() / 8).max(1).min(waiting);
        if waiting == 0 || free.len() < worthwhile {
            Vec::new()
        } else {
            free.into_iter().take(waiting).collect()
        }
    }

    pub(super) fn assign(&mut self, slot: usize, active: Active) {
        self.slots[slot] = Some(active);
    }

    /// The slots to keep when no request waits and the batch has thinned out; none while shrinking costs more than
    /// it saves.
    pub(super) fn shrunk(&self, waiting: usize) -> Option<Vec<usize>> {
        let taken: Vec<usize> = (0..self.slots.len()).filter(|&slot| self.slots[slot].is_some()).collect();
        (waiting == 0 && !taken.is_empty() && taken.len() * 8 <= self.slots.len() * 7).then_some(taken)
    }

    /// The slots at these places, in this order; one that comes twice is free the second time.
    pub(super) fn select(&mut self, kept: &[usize]) {
        self.columns = kept.iter().map(|&slot| self.columns[slot]).collect();
        self.slots = kept.iter().map(|&slot| self.slots[slot].take()).collect();
    }

    /// The column that each slot writes next.
    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Lets free slots, whose past counts no longer, write the same column next, which is returned: prompts that come into
    /// them end right before it.
    pub(super) fn align(&mut self, free: &[usize]) -> usize {
        let column = free.first().map_or(0, |&slot| self.columns[slot]);
        for &slot in free {
            self.columns[slot] = column;
        }
        column
    }

    /// All active sequences, with their slots, which are free then. Every slot has written a column.
    pub(super) fn take_active(&mut self) -> Vec<(usize, Active)> {
        for slot in 0..self.slots.len() {
            self.advance(slot);
        }
        self.slots.iter_mut().enumerate().filter_map(|(slot, active)| Some((slot, active.take()?))).collect()
    }

    /// The slot has written a column.
    pub(super) fn advance(&mut self, slot: usize) {
        self.columns[slot] = (self.columns[slot] + 1) % self.ring;
    }

    /// The columns that lie so many before the next ones.
    pub(super) fn columns_before(&self, count: usize) -> Vec<usize> {
        self.columns.iter().map(|&column| (column + self.ring - count % self.ring) % self.ring).collect()
    }

    /// Tokens and positions to feed, one a slot; free slots repeat token 0 at position 0.
    pub(super) fn inputs(&self) -> (Vec<u32>, Vec<u32>) {
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
    fn the_batch_shrinks_only_when_no_request_waits() {
        let slots = seated(16, &[1, 5]);
        assert_eq!(slots.shrunk(0), Some(vec![1, 5]));
        assert_eq!(slots.shrunk(1), None);
        assert_eq!(seated(16, &(0..15).collect::<Vec<_>>()).shrunk(0), None);
    }
}
