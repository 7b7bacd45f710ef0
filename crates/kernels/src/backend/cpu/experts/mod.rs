//! The expert layer on the CPU: experts in parallel, the largest first. A block of an expert's tokens is gathered,
//! multiplied, activated and multiplied again while it is in the cache; what each place yields is then summed by
//! token, in the order of its choices.

// N tokens, K chosen experts per token, E experts, D hidden, F expert width

mod gate;

use super::{
    Floats, Matrix, MatrixMut, Numbers, Operand, Store, Threads, compute_dtype, gemm_nt, in_bf16, in_f32,
    product, rows_at_once, sized, tensor, vectorized, with_f32,
};
use crate::backend::{Differentiable, Operation};
use crate::compute_dtype::ComputeDtype;
use crate::experts::{Experts, Permutation};
use burn::backend::Flex;
use burn_flex::FlexTensor;
pub(super) use gate::gated;
use gate::gated_backward;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::ops::Range;

/// Places that are multiplied at once: weights are read once for all of them, and what they need lies in the cache.
const BLOCK: usize = 256;

/// Multiplications below which waking another thread costs more than it saves: a few tokens in decoding.
const WORTH_SHARING: usize = 1 << 19;

impl Operation<Flex, 4, 1> for Experts {
    fn forward(&self, inputs: [FlexTensor; 4]) -> [FlexTensor; 1] {
        let layer = Layer::new(&inputs, &self.permutation);
        [like(layer.forward(None), &inputs[0])]
    }
}

/// What the backward of the layer reads.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    inputs: [FlexTensor; 4],
    /// `[N * K, 2 F]`: gate and up of each place, in the dtype of `x`.
    gates_and_ups: FlexTensor,
}

impl Differentiable<Flex, 4, 1> for Experts {
    type Kept = Kept;

    fn forward_tracked(&self, inputs: [FlexTensor; 4], _: [bool; 4]) -> ([FlexTensor; 1], Kept) {
        let layer = Layer::new(&inputs, &self.permutation);
        let shape = [self.permutation.n_places(), 2 * layer.inner];
        let mut gates_and_ups = vec![0.0; shape[0] * shape[1]];
        let out = like(layer.forward(Some(&mut gates_and_ups)), &inputs[0]);
        let gates_and_ups = tensor(gates_and_ups, shape);
        let gates_and_ups = match layer.dtype {
            ComputeDtype::F32 => gates_and_ups,
            ComputeDtype::Bf16 => in_bf16(&gates_and_ups),
        };
        ([out], Kept { inputs, gates_and_ups })
    }

    fn backward(&self, kept: Kept, upstream: FlexTensor, _: [bool; 4]) -> [Option<FlexTensor>; 4] {
        let Kept { inputs, gates_and_ups } = kept;
        let gates_and_ups = in_f32(gates_and_ups);
        let layer = Layer::new(&inputs, &self.permutation);
        let [d_x, d_gate_up, d_down, d_route] =
            layer.backward(Floats::of(&gates_and_ups).slice(), Floats::of(&upstream).slice());
        let [x, gate_up, down, route_weights] = &inputs;
        [like(d_x, x), like(d_gate_up, gate_up), like(d_down, down), like(d_route, route_weights)].map(Some)
    }
}

/// Values in the shape of a tensor.
fn like(values: Vec<f32>, of: &FlexTensor) -> FlexTensor {
    tensor(values, of.layout().shape().clone())
}

/// The inputs.
struct Layer<'a> {
    x: Numbers,
    gate_up: Numbers,
    down: Numbers,
    route_weights: Floats,
    /// That of products: of `x`.
    dtype: ComputeDtype,
    permutation: &'a Permutation,
    /// D
    width: usize,
    /// F
    inner: usize,
}

/// Buffers of a task, as large as its largest block so far.
#[derive(Default)]
struct Scratch {
    /// `[rows, D]`
    x: Vec<f32>,
    /// `[rows, D]`
    upstream: Vec<f32>,
    /// `[rows, F]`
    activation: Vec<f32>,
    /// `[rows, F]`
    d_activation: Vec<f32>,
    /// `[rows, 2 F]`: gates and ups, or their gradients.
    gates_and_ups: Vec<f32>,
}

impl<'a> Layer<'a> {
    fn new([x, gate_up, down, route_weights]: &[FlexTensor; 4], permutation: &'a Permutation) -> Self {
        let [_, width, inner] = down.layout().shape().dims();
        Self {
            dtype: compute_dtype(x),
            x: Numbers::of(x),
            gate_up: Numbers::of(gate_up),
            down: Numbers::of(down),
            route_weights: Floats::of(route_weights),
            permutation,
            width,
            inner,
        }
    }

    fn forward(&self, kept: Option<&mut [f32]>) -> Vec<f32> {
        let (width, inner) = (self.width, self.inner);
        let mut results = vec![0.0; self.permutation.n_places() * width];
        let mut kept = kept;
        let mut rest = results.as_mut_slice();
        let mut blocks = Vec::new();
        for expert in 0..self.permutation.n_experts() {
            for places in blocks_of(self.permutation.places(expert)) {
                let out = rest.split_off_mut(..places.len() * width).expect("a row for each place");
                let kept = kept.as_mut().map(|kept| {
                    kept.split_off_mut(..places.len() * 2 * inner).expect("a row for each place")
                });
                blocks.push((expert, places, out, kept));
            }
        }
        blocks.sort_by_key(|(_, places, ..)| Reverse(places.len()));
        self.share(blocks, |scratch, (expert, places, out, kept)| {
            self.forward_block(scratch, expert, places, out, kept);
        });
        self.summed_by_token(&results)
    }

    /// What a block of an expert's places adds to its tokens, already weighted.
    fn forward_block(
        &self,
        scratch: &mut Scratch,
        expert: usize,
        places: Range<usize>,
        out: &mut [f32],
        kept: Option<&mut [f32]>,
    ) {
        let (rows, width, inner) = (places.len(), self.width, self.inner);
        let x = sized(&mut scratch.x, rows * width);
        self.gather_inputs(x, &places);
        let gates_and_ups = kept.unwrap_or_else(|| sized(&mut scratch.gates_and_ups, rows * 2 * inner));
        self.times(gates_and_ups, x, self.gate_up_of(expert), [rows, width, 2 * inner]);
        let activation = sized(&mut scratch.activation, rows * inner);
        let pairs = activation.chunks_exact_mut(inner).zip(gates_and_ups.chunks_exact(2 * inner));
        for (place, (activation, gate_up)) in places.zip(pairs) {
            gated(activation, gate_up, self.route_weight(place));
        }
        self.times(out, activation, self.down_of(expert), [rows, inner, width]);
    }

    /// `out = x W^T` for `x` `[M, D]`, `weight` `[O, D]`, `out` `[M, O]`.
    fn times(&self, out: &mut [f32], x: &[f32], weight: Operand<'_>, shape: [usize; 3]) {
        let [rows, inner, outputs] = shape;
        match self.dtype {
            ComputeDtype::F32 => {
                with_f32(weight, |weight| gemm_nt(out, x, weight.values(), shape, Threads::One));
            }
            ComputeDtype::Bf16 => {
                let (out, x) = (MatrixMut::new(out, rows, outputs), Matrix::new(x, rows, inner));
                product(self.dtype, out, Store::Replace, x, weight.transposed(), Threads::One);
            }
        }
    }

    /// The gradients of `x`, `gate_up`, `down` and the route weights.
    fn backward(&self, gates_and_ups: &[f32], upstream: &[f32]) -> [Vec<f32>; 4] {
        let (width, inner, places) = (self.width, self.inner, self.permutation.n_places());
        // By place first, to be summed or reordered by token.
        let (mut d_x, mut d_route) = (vec![0.0; places * width], vec![0.0; places]);
        let mut d_gate_up = vec![0.0; self.gate_up.len()];
        let mut d_down = vec![0.0; self.down.len()];
        let (mut rest_x, mut rest_route) = (d_x.as_mut_slice(), d_route.as_mut_slice());
        let weights =
            d_gate_up.chunks_exact_mut(2 * inner * width).zip(d_down.chunks_exact_mut(width * inner));
        let mut experts: Vec<ExpertGradients<'_>> = weights
            .enumerate()
            .map(|(expert, (gate_up, down))| {
                let count = self.permutation.places(expert).len();
                let x = rest_x.split_off_mut(..count * width).expect("a row for each place");
                let route = rest_route.split_off_mut(..count).expect("a number for each place");
                ExpertGradients { expert, x, gate_up, down, route }
            })
            .filter(|gradients| !gradients.route.is_empty())
            .collect();
        experts.sort_by_key(|gradients| Reverse(gradients.route.len()));
        self.share(experts, |scratch, gradients| {
            self.backward_expert(scratch, gates_and_ups, upstream, gradients);
        });
        let by_slot = self.permutation.place_of_slot().iter().map(|&place| d_route[place as usize]).collect();
        [self.summed_by_token(&d_x), d_gate_up, d_down, by_slot]
    }

    /// With `a = silu(gate) up` and `g` the gradient of a token: `p = down^T g` gives the route weight's `p . a` and,
    /// times the route weight, that of `a`; the rest is the chain rule.
    fn backward_expert(
        &self,
        scratch: &mut Scratch,
        gates_and_ups: &[f32],
        upstream: &[f32],
        gradients: ExpertGradients<'_>,
    ) {
        let (width, inner) = (self.width, self.inner);
        let ExpertGradients { expert, x: d_x, gate_up: d_gate_up, down: d_down, route: d_route } = gradients;
        let places = self.permutation.places(expert);
        // An expert of more than a block outlasts the others: the pool then helps inside its products.
        let threads = if places.len() > BLOCK { Threads::Pool } else { Threads::One };
        let blocks = blocks_of(places).zip(d_x.chunks_mut(BLOCK * width)).zip(d_route.chunks_mut(BLOCK));
        for (block, ((places, d_x), d_route)) in blocks.enumerate() {
            let store = if block == 0 { Store::Replace } else { Store::Add };
            let rows = places.len();
            let x = sized(&mut scratch.x, rows * width);
            self.gather_inputs(x, &places);
            let from_above = sized(&mut scratch.upstream, rows * width);
            self.gather(from_above, upstream, &places);
            let from_above = Matrix::new(from_above, rows, width);
            let activation = sized(&mut scratch.activation, rows * inner);
            let d_activation = sized(&mut scratch.d_activation, rows * inner);
            let d_gates_and_ups = sized(&mut scratch.gates_and_ups, rows * 2 * inner);
            product(
                self.dtype,
                MatrixMut::new(d_activation, rows, inner),
                Store::Replace,
                from_above,
                self.down_of(expert),
                threads,
            );
            let gates_and_ups = &gates_and_ups[places.start * 2 * inner..places.end * 2 * inner];
            for (row, (place, d_route)) in places.zip(d_route).enumerate() {
                let (both, one) = (row * 2 * inner..(row + 1) * 2 * inner, row * inner..(row + 1) * inner);
                *d_route = gated_backward(
                    &mut d_gates_and_ups[both.clone()],
                    &mut activation[one.clone()],
                    &gates_and_ups[both],
                    &d_activation[one],
                    self.route_weight(place),
                );
            }
            let d_gates_and_ups = Matrix::new(d_gates_and_ups, rows, 2 * inner);
            product(
                self.dtype,
                MatrixMut::new(d_down, width, inner),
                store,
                from_above.transposed(),
                Matrix::new(activation, rows, inner),
                threads,
            );
            product(
                self.dtype,
                MatrixMut::new(d_gate_up, 2 * inner, width),
                store,
                d_gates_and_ups.transposed(),
                Matrix::new(x, rows, width),
                threads,
            );
            product(
                self.dtype,
                MatrixMut::new(d_x, rows, width),
                Store::Replace,
                d_gates_and_ups,
                self.gate_up_of(expert),
                threads,
            );
        }
    }

    /// Runs `work` on every task, in parallel where there is enough of it; idle threads take the next task in order.
    fn share<T: Send>(&self, tasks: Vec<T>, work: impl Fn(&mut Scratch, T) + Send + Sync) {
        if self.permutation.n_places() * self.width * self.inner < WORTH_SHARING {
            let mut scratch = Scratch::default();
            for task in tasks {
                work(&mut scratch, task);
            }
        } else {
            tasks.into_iter().par_bridge().for_each_init(Scratch::default, work);
        }
    }

    /// The inputs of the tokens in `places`, in f32.
    fn gather_inputs(&self, out: &mut [f32], places: &Range<usize>) {
        match &self.x {
            Numbers::F32(x) => self.gather(out, x.slice(), places),
            Numbers::Bf16(_) => {
                for (out, place) in out.chunks_exact_mut(self.width).zip(places.clone()) {
                    self.x.widen(self.permutation.token(place) * self.width, out);
                }
            }
        }
    }

    /// The rows of the tokens in `places`.
    fn gather(&self, out: &mut [f32], rows: &[f32], places: &Range<usize>) {
        for (out, place) in out.chunks_exact_mut(self.width).zip(places.clone()) {
            out.copy_from_slice(&rows[self.permutation.token(place) * self.width..][..self.width]);
        }
    }

    /// `[N * K, D]` by place -> `[N, D]`
    fn summed_by_token(&self, by_place: &[f32]) -> Vec<f32> {
        let (width, per_token) = (self.width, self.permutation.experts_per_token());
        let mut out = vec![0.0; self.x.len()];
        let block = rows_at_once(width * per_token);
        let add = |out: &mut [f32], places: &[u32]| {
            vectorized!(|out: &mut [f32],
                         places: &[u32],
                         by_place: &[f32],
                         width: usize,
                         per_token: usize| {
                for (out, places) in out.chunks_exact_mut(width).zip(places.chunks_exact(per_token)) {
                    for &place in places {
                        let row = &by_place[place as usize * width..][..width];
                        for (out, value) in out.iter_mut().zip(row) {
                            *out += value;
                        }
                    }
                }
            });
        };
        let places = self.permutation.place_of_slot();
        if places.len() <= block * per_token {
            add(&mut out, places);
        } else {
            out.par_chunks_mut(block * width)
                .zip(places.par_chunks(block * per_token))
                .for_each(|(out, places)| add(out, places));
        }
        out
    }

    fn route_weight(&self, place: usize) -> f32 {
        self.route_weights.slice()[self.permutation.slot(place)]
    }

    /// `[2 F, D]`
    fn gate_up_of(&self, expert: usize) -> Operand<'_> {
        let [rows, columns] = [2 * self.inner, self.width];
        self.gate_up.matrix(expert * rows * columns, rows, columns)
    }

    /// `[D, F]`
    fn down_of(&self, expert: usize) -> Operand<'_> {
        let [rows, columns] = [self.width, self.inner];
        self.down.matrix(expert * rows * columns, rows, columns)
    }
}

/// Where one expert's gradients go; those of `x` and the route weights by place.
struct ExpertGradients<'a> {
    expert: usize,
    x: &'a mut [f32],
    gate_up: &'a mut [f32],
    down: &'a mut [f32],
    route: &'a mut [f32],
}

fn blocks_of(places: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    places.clone().step_by(BLOCK).map(move |start| start..places.end.min(start + BLOCK))
}
