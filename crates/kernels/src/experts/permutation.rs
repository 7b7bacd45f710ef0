//! Who goes where: the slots of a routing decision, grouped by expert. It knows no tensors.

use std::ops::Range;

/// The (token, choice) slots of a layer in the order of their experts, each expert's share without a gap: a counting
/// sort. The rank of a slot in that order is its *place*.
#[derive(Clone, Debug)]
pub struct Permutation {
    experts_per_token: usize,
    /// `[E + 1]`: expert e has the places `offsets[e]..offsets[e + 1]`.
    offsets: Vec<usize>,
    /// `[N * K]`: the slot in each place.
    slot_of_place: Vec<u32>,
    /// `[N * K]`: the place of each slot.
    place_of_slot: Vec<u32>,
}

impl Permutation {
    /// Groups slots by expert; within an expert they keep their order.
    ///
    /// `experts` holds N * K expert ids, row-major by token.
    pub fn new(experts: &[u16], experts_per_token: usize, n_experts: usize) -> Self {
        let mut offsets = vec![0; n_experts + 1];
        for &expert in experts {
            offsets[usize::from(expert) + 1] += 1;
        }
        for expert in 0..n_experts {
            offsets[expert + 1] += offsets[expert];
        }
        let mut free = offsets.clone();
        let mut slot_of_place = vec![0; experts.len()];
        let place_of_slot = (0_u32..)
            .zip(experts)
            .map(|(slot, &expert)| {
                let place = &mut free[usize::from(expert)];
                slot_of_place[*place] = slot;
                *place += 1;
                (*place - 1) as u32
            })
            .collect();
        Self { experts_per_token, offsets, slot_of_place, place_of_slot }
    }

    /// K, the experts of a token.
    pub(crate) fn experts_per_token(&self) -> usize {
        self.experts_per_token
    }

    /// E
    pub(crate) fn n_experts(&self) -> usize {
        self.offsets.len() - 1
    }

    /// N * K
    pub(crate) fn n_places(&self) -> usize {
        self.slot_of_place.len()
    }

    /// The places of an expert.
    pub(crate) fn places(&self, expert: usize) -> Range<usize> {
        self.offsets[expert]..self.offsets[expert + 1]
    }

    /// The slot in a place.
    pub(crate) fn slot(&self, place: usize) -> usize {
        self.slot_of_place[place] as usize
    }

    /// The token in a place.
    pub(crate) fn token(&self, place: usize) -> usize {
        self.slot(place) / self.experts_per_token
    }

    /// The place of every slot.
    pub(crate) fn place_of_slot(&self) -> &[u32] {
        &self.place_of_slot
    }
}

#[cfg(test)]
mod tests {
    use super::Permutation;

    #[test]
    fn every_slot_finds_its_token_among_its_experts_places() {
        let chosen = [2_u16, 0, 1, 2, 2, 0, 3, 2];
        let permutation = Permutation::new(&chosen, 2, 5);
        assert_eq!(permutation.n_places(), chosen.len());
        for (slot, &expert) in chosen.iter().enumerate() {
            let place = permutation.place_of_slot()[slot] as usize;
            assert!(permutation.places(usize::from(expert)).contains(&place));
            assert_eq!((permutation.slot(place), permutation.token(place)), (slot, slot / 2));
        }
        assert!(permutation.places(4).is_empty(), "the last expert was not chosen");
    }

    #[test]
    fn the_slots_of_an_expert_keep_their_order() {
        let permutation = Permutation::new(&[1, 0, 1, 1, 0, 1], 1, 2);
        let slots =
            |expert| permutation.places(expert).map(|place| permutation.slot(place)).collect::<Vec<_>>();
        assert_eq!((slots(0), slots(1)), (vec![1, 4], vec![0, 2, 3, 5]));
    }
}
