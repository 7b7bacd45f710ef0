//! Logits on the CPU: a block of them, some tokens by some ids, is gone before the next one comes, and the backward
//! computes them again instead of keeping them. A block stays in the cache while what is asked of it is computed; a
//! row's numbers are put together from those of its blocks.

// N tokens, n of them in a block, D hidden, V vocabulary, v ids of it in a block

mod candidates;
mod sums;
mod targets;

use super::{Matrix, MatrixMut, Numbers, Operand, Store, Threads, compute_dtype, product, sized, tensor};
use crate::compute_dtype::ComputeDtype;
use crate::logits::Plan;
use burn_flex::FlexTensor;
use std::ops::Range;
pub(crate) use sums::Sums;

/// The hidden states and the head, and how large a block of logits is.
struct Blocks {
    hidden: Numbers,
    head: Numbers,
    /// That of the products: of the hidden states.
    dtype: ComputeDtype,
    tokens: usize,
    vocabulary: usize,
    width: usize,
    plan: Plan,
}

/// Which logits a block has.
#[derive(Clone, Debug)]
struct Block {
    tokens: Range<usize>,
    ids: Range<usize>,
}

impl Block {
    /// Where in a row of the block the logit of an id is, if it is there.
    fn place(&self, id: u32) -> Option<usize> {
        let id = id as usize;
        self.ids.contains(&id).then(|| id - self.ids.start)
    }
}

impl Blocks {
    fn new(hidden: &FlexTensor, head: &FlexTensor, plan: Plan) -> Self {
        let (rows, columns) = (hidden.layout().shape(), head.layout().shape());
        let ([tokens, width], vocabulary) = ([rows[0], rows[1]], columns[0]);
        let dtype = compute_dtype(hidden);
        let (hidden, head) = (Numbers::of(hidden), Numbers::of(head));
        Self { hidden, head, dtype, tokens, vocabulary, width, plan }
    }

    /// Shows the logits `[n, v]` of each block, `hidden W^T / temperature`: of the same tokens those of all ids one
    /// after the other. They are `visit`'s to overwrite.
    fn for_each(&self, mut visit: impl FnMut(&Block, &mut [f32])) {
        let Plan { temperature, tokens_at_once, ids_at_once } = self.plan;
        let scale = (1.0 / temperature) as f32;
        let mut buffer = Vec::new();
        for tokens in even(self.tokens, tokens_at_once) {
            // Cooled before the product, where that is less, but for operands that are rounded already.
            let cooled: Option<Vec<f32>> = match &self.hidden {
                Numbers::F32(hidden) => {
                    let rows = tokens.start * self.width..tokens.end * self.width;
                    Some(hidden.slice()[rows].iter().map(|x| x * scale).collect())
                }
                Numbers::Bf16(_) => None,
            };
            let rows = match &cooled {
                Some(cooled) => Matrix::new(cooled, tokens.len(), self.width).into(),
                None => self.hidden_of(&tokens),
            };
            for ids in even(self.vocabulary, ids_at_once) {
                let logits = sized(&mut buffer, tokens.len() * ids.len());
                let out = MatrixMut::new(logits, tokens.len(), ids.len());
                product(
                    self.dtype,
                    out,
                    Store::Replace,
                    rows,
                    self.head_of(&ids).transposed(),
                    Threads::Pool,
                );
                if cooled.is_none() && scale != 1.0 {
                    for logit in &mut *logits {
                        *logit *= scale;
                    }
                }
                visit(&Block { tokens: tokens.clone(), ids }, logits);
            }
        }
    }

    /// The gradients of `hidden` and `head`, that of the head only where it `learns`: a frozen head has none, which
    /// would be as large as it is. `differentiate` overwrites the logits of a block by the gradients of `hidden W^T`,
    /// so with the temperature in them.
    fn backward(
        &self,
        learns: bool,
        mut differentiate: impl FnMut(&Block, &mut [f32]),
    ) -> [Option<FlexTensor>; 2] {
        let Self { tokens, width, vocabulary, .. } = *self;
        let mut d_hidden = vec![0.0; tokens * width];
        let mut d_head = learns.then(|| vec![0.0; vocabulary * width]);
        let from_zero = |start: usize| if start == 0 { Store::Replace } else { Store::Add };
        self.for_each(|block, logits| {
            differentiate(block, logits);
            let Block { tokens, ids } = block;
            let d_logits = Matrix::new(logits, tokens.len(), ids.len());
            let d_rows = &mut d_hidden[tokens.start * width..tokens.end * width];
            let d_rows = MatrixMut::new(d_rows, tokens.len(), width);
            product(self.dtype, d_rows, from_zero(ids.start), d_logits, self.head_of(ids), Threads::Pool);
            if let Some(d_head) = &mut d_head {
                let d_weight = &mut d_head[ids.start * width..ids.end * width];
                let d_weight = MatrixMut::new(d_weight, ids.len(), width);
                let (store, rows) = (from_zero(tokens.start), self.hidden_of(tokens));
                product(self.dtype, d_weight, store, d_logits.transposed(), rows, Threads::Pool);
            }
        });
        let d_head = d_head.map(|d_head| tensor(d_head, [vocabulary, width]));
        [Some(tensor(d_hidden, [tokens, width])), d_head]
    }

    /// `[n, D]`
    fn hidden_of(&self, tokens: &Range<usize>) -> Operand<'_> {
        self.hidden.matrix(tokens.start * self.width, tokens.len(), self.width)
    }

    /// `[v, D]`
    fn head_of(&self, ids: &Range<usize>) -> Operand<'_> {
        self.head.matrix(ids.start * self.width, ids.len(), self.width)
    }
}

/// `0..end` in as few pieces as have at most so many, all about as long.
fn even(end: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let step = end.div_ceil(end.div_ceil(most).max(1)).max(1);
    (0..end).step_by(step).map(move |start| start..end.min(start + step))
}
