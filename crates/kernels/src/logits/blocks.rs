//! Logits on the CPU: a block of them, some tokens by some ids, is gone before the next one comes, and the backward computes
//! them again instead of keeping them. A block stays in the cache while what is asked of it is computed; a row's numbers are
//! put together from those of its blocks.

// N tokens, n of them in a block, D hidden, V vocabulary, v ids of it in a block

use super::Plan;
use crate::cpu::{Floats, Matrix, MatrixMut, Store, Threads, product, sized, tensor};
use burn_flex::FlexTensor;
use std::ops::Range;

/// The hidden states and the head, and how large a block of logits is.
pub(crate) struct Blocks {
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

/// Which logits a block has.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) tokens: Range<usize>,
    pub(crate) ids: Range<usize>,
}

impl Block {
    /// Where in a row of the block the logit of an id is, if it is there.
    pub(crate) fn place(&self, id: u32) -> Option<usize> {
        let id = id as usize;
        self.ids.contains(&id).then(|| id - self.ids.start)
    }
}

impl Blocks {
    pub(crate) fn new(hidden: &FlexTensor, head: &FlexTensor, plan: Plan) -> Self {
        let (rows, columns) = (hidden.layout().shape(), head.layout().shape());
        let ([tokens, width], vocabulary) = ([rows[0], rows[1]], columns[0]);
        let (hidden, head) = (Floats::of(hidden), Floats::of(head));
        Self { hidden, head, tokens, vocabulary, width, plan, learning: Learning::Head }
    }

    pub(crate) fn with(self, learning: Learning) -> Self {
        Self { learning, ..self }
    }

    /// Shows the logits `[n, v]` of each block, `hidden W^T / temperature`: of the same tokens those of all ids one after
    /// the other. They are `visit`'s to overwrite.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Block, &mut [f32])) {
        let Plan { temperature, tokens_at_once, ids_at_once } = self.plan;
        let scale = (1.0 / temperature) as f32;
        let mut buffer = Vec::new();
        for tokens in even(self.tokens, tokens_at_once) {
            let cooled: Vec<f32> = self.hidden_of(&tokens).iter().map(|x| x * scale).collect();
            let cooled = Matrix::new(&cooled, tokens.len(), self.width);
            for ids in even(self.vocabulary, ids_at_once) {
                let logits = sized(&mut buffer, tokens.len() * ids.len());
                let out = MatrixMut::new(logits, tokens.len(), ids.len());
                product(out, Store::Replace, cooled, self.head_of(&ids).transposed(), Threads::Pool);
                visit(&Block { tokens: tokens.clone(), ids }, logits);
            }
        }
    }

    /// The gradients of `hidden` and `head`, of which a frozen one has no rows. `differentiate` overwrites the logits of a
    /// block by the gradients of `hidden W^T`, so with the temperature in them.
    pub(crate) fn backward(
        &self,
        mut differentiate: impl FnMut(&Block, &mut [f32]),
    ) -> (FlexTensor, FlexTensor) {
        let Self { tokens, width, vocabulary, .. } = *self;
        let mut d_hidden = vec![0.0; tokens * width];
        let learned = if self.learning == Learning::Head { vocabulary } else { 0 };
        let mut d_head = vec![0.0; learned * width];
        let from_zero = |start: usize| if start == 0 { Store::Replace } else { Store::Add };
        self.for_each(|block, logits| {
            differentiate(block, logits);
            let Block { tokens, ids } = block;
            let d_logits = Matrix::new(logits, tokens.len(), ids.len());
            let d_rows = &mut d_hidden[tokens.start * width..tokens.end * width];
            let d_rows = MatrixMut::new(d_rows, tokens.len(), width);
            product(d_rows, from_zero(ids.start), d_logits, self.head_of(ids), Threads::Pool);
            if learned > 0 {
                let d_weight = &mut d_head[ids.start * width..ids.end * width];
                let d_weight = MatrixMut::new(d_weight, ids.len(), width);
                let rows = Matrix::new(self.hidden_of(tokens), tokens.len(), width);
                product(d_weight, from_zero(tokens.start), d_logits.transposed(), rows, Threads::Pool);
            }
        });
        (tensor(d_hidden, [tokens, width]), tensor(d_head, [learned, width]))
    }

    /// `[n, D]`
    fn hidden_of(&self, tokens: &Range<usize>) -> &[f32] {
        &self.hidden.slice()[tokens.start * self.width..tokens.end * self.width]
    }

    /// `[v, D]`
    fn head_of(&self, ids: &Range<usize>) -> Matrix<'_> {
        let rows = &self.head.slice()[ids.start * self.width..ids.end * self.width];
        Matrix::new(rows, ids.len(), self.width)
    }
}

/// `0..end` in as few pieces as have at most so many, all about as long.
fn even(end: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let step = end.div_ceil(end.div_ceil(most).max(1)).max(1);
    (0..end).step_by(step).map(move |start| start..end.min(start + step))
}
