//! Rotary embedding on the CPU: one pass over the heads of a token, tokens in parallel.

// R rotated columns, W width of a head

use super::attention::Heads;
use super::{rows_at_once, tensor, vectorized};
use crate::backend::{Differentiable, Operation};
use crate::rope::{Pairs, Rotation, Table};
use burn::backend::Flex;
use burn_flex::FlexTensor;
use rayon::prelude::*;

impl Operation<Flex, 1, 1> for Rotation {
    fn forward(&self, [x]: [FlexTensor; 1]) -> [FlexTensor; 1] {
        [rotate(&x, &self.table, self.pairs, Direction::Forward)]
    }
}

impl Differentiable<Flex, 1, 1> for Rotation {
    /// Nothing: the angles are the operation's.
    type Kept = ();

    fn forward_tracked(&self, inputs: [FlexTensor; 1], _: [bool; 1]) -> ([FlexTensor; 1], ()) {
        (Operation::<Flex, _, _>::forward(self, inputs), ())
    }

    fn backward(&self, (): (), upstream: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [Some(rotate(&upstream, &self.table, self.pairs, Direction::Backward))]
    }
}

/// The direction of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// By the angles.
    Forward,
    /// By their negatives, from the result's order of columns back to the input's: the gradient.
    Backward,
}

/// The last R columns of every head, rotated; the others as they were.
fn rotate(x: &FlexTensor, table: &Table, pairs: Pairs, direction: Direction) -> FlexTensor {
    let shape = x.layout().shape().clone();
    let x = Heads::of(x); // a part of a wider product is read where it lies
    let [batch, places, heads, width] = x.shape;
    let token = heads * width;
    let mut out = vec![0.0; batch * places * token];
    let at_once = rows_at_once(token);
    out.par_chunks_mut((at_once * token).max(1)).enumerate().for_each(|(block, out)| {
        let (x, first) = (&x, block * at_once);
        vectorized!(|out: &mut [f32],
                     x: &Heads,
                     table: &Table,
                     pairs: Pairs,
                     direction: Direction,
                     first: usize| {
            let [_, places, heads, width] = x.shape;
            let half = table.frequencies;
            let (token, still) = (heads * width, width - 2 * half);
            for (index, out) in out.chunks_exact_mut(token).enumerate() {
                let index = first + index;
                let (cos, sin) = (&table.cos[index * half..][..half], &table.sin[index * half..][..half]);
                for (number, out) in out.chunks_exact_mut(width).enumerate() {
                    let x = x.columns(index / places, index % places, number);
                    out[..still].copy_from_slice(&x[..still]);
                    head(&mut out[still..], &x[still..], cos, sin, pairs, direction);
                }
            }
        });
    });
    tensor(out, shape)
}

#[allow(clippy::inline_always, reason = "to be compiled for the caller's vectors")]
#[inline(always)]
fn head(out: &mut [f32], x: &[f32], cos: &[f32], sin: &[f32], pairs: Pairs, direction: Direction) {
    let half = cos.len();
    let sin = &sin[..half];
    match (pairs, direction) {
        (Pairs::Halves, direction) => {
            let ((x, y), (u, v)) = (x.split_at(half), out.split_at_mut(half));
            let (y, v) = (&y[..half], &mut v[..half]);
            for i in 0..half {
                let sin = if direction == Direction::Forward { sin[i] } else { -sin[i] };
                u[i] = x[i] * cos[i] - y[i] * sin;
                v[i] = y[i] * cos[i] + x[i] * sin;
            }
        }
        (Pairs::Interleaved, Direction::Forward) => {
            let (u, v) = out.split_at_mut(half);
            let (pairs, v) = (&x.as_chunks::<2>().0[..half], &mut v[..half]);
            for i in 0..half {
                let [x, y] = pairs[i];
                u[i] = x * cos[i] - y * sin[i];
                v[i] = y * cos[i] + x * sin[i];
            }
        }
        (Pairs::Interleaved, Direction::Backward) => {
            let (u, v) = x.split_at(half);
            let (pairs, v) = (&mut out.as_chunks_mut::<2>().0[..half], &v[..half]);
            for i in 0..half {
                pairs[i] = [u[i] * cos[i] + v[i] * sin[i], v[i] * cos[i] - u[i] * sin[i]];
            }
        }
    }
}
