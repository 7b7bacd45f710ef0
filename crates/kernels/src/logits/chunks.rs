//! Logits on the CPU: those of a chunk are gone before the next ones come, and the backward computes them again instead of
//! keeping them.

// N tokens, n of them at once, D hidden, V vocabulary

use super::Plan;
use crate::cpu::{Floats, Matrix, MatrixMut, Store, Threads, product, product_of, tensor};
use burn_flex::FlexTensor;
use std::ops::Range;

/// The hidden states and the head, and how many tokens' logits there are at once.
pub(crate) struct Chunks {
    hidden: Floats,
    head: Floats,
    pub(crate) tokens: usize,
    pub(crate) vocabulary: usize,
    width: usize,
    plan: Plan,
    learning: Learning,
}

/// Whose gradients are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learning {
    /// Those of the hidden states and the head.
    Head,
    /// The head is frozen; its gradient would be as large as it is.
    HiddenOnly,
}

impl Chunks {
    pub(crate) fn new(hidden: &FlexTensor, head: &FlexTensor, plan: Plan) -> Self {
        let (rows, columns) = (hidden.layout().shape(), head.layout().shape());
        let ([tokens, width], vocabulary) = ([rows[0], rows[1]], columns[0]);
        let (hidden, head) = (Floats::of(hidden), Floats::of(head));
        Self { hidden, head, tokens, vocabulary, width, plan, learning: Learning::Head }
    }

    pub(crate) fn with(self, learning: Learning) -> Self {
        Self { learning, ..self }
    }

    /// Shows the logits `[n, V]` of each chunk, `hidden W^T / temperature`, with the places of its tokens. They are `visit`'s to
    /// overwrite.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(Range<usize>, &mut [f32])) {
        let at_once = self.plan.tokens_at_once.min(self.tokens);
        let scale = (1.0 / self.plan.temperature) as f32;
        for start in (0..self.tokens).step_by(at_once) {
            let places = start..self.tokens.min(start + at_once);
            let cooled: Vec<f32> = self.hidden_of(&places).iter().map(|x| x * scale).collect();
            let cooled = Matrix::new(&cooled, places.len(), self.width);
            let mut logits = product_of(cooled, self.head().transposed(), Threads::Pool);
            visit(places, &mut logits);
        }
    }

    /// The gradients of `hidden` and `head`, of which a frozen one has no rows. `differentiate` overwrites the logits of a
    /// chunk by the gradients of `hidden W^T`, so with the temperature in them.
    pub(crate) fn backward(
        &self,
        mut differentiate: impl FnMut(Range<usize>, &mut [f32]),
    ) -> (FlexTensor, FlexTensor) {
        let Self { tokens, width, vocabulary, .. } = *self;
        let mut d_hidden = vec![0.0; tokens * width];
        let learned = if self.learning == Learning::Head { vocabulary } else { 0 };
        let mut d_head = vec![0.0; learned * width];
        self.for_each(|places, logits| {
            differentiate(places.clone(), logits);
            let d_logits = Matrix::new(logits, places.len(), vocabulary);
            let d_rows = &mut d_hidden[places.start * width..places.end * width];
            let d_rows = MatrixMut::new(d_rows, places.len(), width);
            product(d_rows, Store::Replace, d_logits, self.head(), Threads::Pool);
            if learned > 0 {
                let d_weight = MatrixMut::new(&mut d_head, vocabulary, width);
                let store = if places.start == 0 { Store::Replace } else { Store::Add };
                let rows = Matrix::new(self.hidden_of(&places), places.len(), width);
                product(d_weight, store, d_logits.transposed(), rows, Threads::Pool);
            }
        });
        (tensor(d_hidden, [tokens, width]), tensor(d_head, [learned, width]))
    }

    /// `[n, D]`
    fn hidden_of(&self, places: &Range<usize>) -> &[f32] {
        &self.hidden.slice()[places.start * self.width..places.end * self.width]
    }

    fn head(&self) -> Matrix<'_> {
        Matrix::new(self.head.slice(), self.vocabulary, self.width)
    }
}
