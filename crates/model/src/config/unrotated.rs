//! Which blocks have no rotary embedding, as a rule where there is one: a file may claim any number of blocks. It refuses
//! to know `config.json`.

/// Blocks whose attention is not rotated. The same blocks always have the same variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrotated {
    /// No block.
    None,
    /// The last of every so many blocks.
    Every(usize),
    /// Blocks that follow no such rule, in ascending order.
    Layers(Vec<usize>),
}

impl Unrotated {
    /// From blocks in ascending order, of so many in all.
    pub(crate) fn of_layers(layers: Vec<usize>, num_hidden_layers: usize) -> Self {
        let Some(&first) = layers.first() else { return Self::None };
        let interval = first + 1;
        let rule = (first..num_hidden_layers).step_by(interval);
        if rule.eq(layers.iter().copied()) { Self::Every(interval) } else { Self::Layers(layers) }
    }

    /// Whether block `layer` is not rotated.
    pub fn contains(&self, layer: usize) -> bool {
        match self {
            Self::None => false,
            Self::Every(interval) => (layer + 1).is_multiple_of(*interval),
            Self::Layers(layers) => layers.binary_search(&layer).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Unrotated;

    #[test]
    fn blocks_that_follow_a_rule_are_the_rule() {
        for (layers, expected) in [
            (vec![], Unrotated::None),
            (vec![3, 7], Unrotated::Every(4)),
            (vec![3], Unrotated::Layers(vec![3])),
            (vec![3, 6], Unrotated::Layers(vec![3, 6])),
            ((0..8).collect(), Unrotated::Every(1)),
            (vec![7], Unrotated::Every(8)),
        ] {
            let made = Unrotated::of_layers(layers.clone(), 8);
            assert_eq!(made, expected, "{layers:?}");
            let contained: Vec<usize> = (0..8).filter(|&layer| made.contains(layer)).collect();
            assert_eq!(contained, layers);
        }
    }
}
