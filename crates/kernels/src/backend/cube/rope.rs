//! Rotary embedding: one kernel, forward and backward. The angles are uploaded once for all layers of a pass.

// B batch, T tokens, H heads, R rotated columns, W width of a head

use super::launch::{addresses, empty_beside, of_elements};
use crate::backend::{Differentiable, Operation};
use crate::rope::{Pairs, Rotation, Table};
use burn::backend::Cube;
use burn::tensor::Device;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

impl Operation<Cube, 1, 1> for Rotation {
    fn forward(&self, [x]: [CubeTensor; 1]) -> [CubeTensor; 1] {
        let half = self.table.frequencies;
        let from = Columns::of(self.pairs, half);
        [rotate(x, &self.table, from, Columns::of(Pairs::Halves, half), 1.0)]
    }
}

impl Differentiable<Cube, 1, 1> for Rotation {
    /// Nothing: the angles are the operation's.
    type Kept = ();

    fn forward_tracked(&self, inputs: [CubeTensor; 1], _: [bool; 1]) -> ([CubeTensor; 1], ()) {
        (Operation::<Cube, _, _>::forward(self, inputs), ())
    }

    /// By the negative angles, from the result's order of columns back to the input's.
    fn backward(&self, (): (), upstream: CubeTensor, _: [bool; 1]) -> [Option<CubeTensor>; 1] {
        let half = self.table.frequencies;
        let to = Columns::of(self.pairs, half);
        [Some(rotate(upstream, &self.table, Columns::of(Pairs::Halves, half), to, -1.0))]
    }
}

/// Where the members of pair `i` are among the rotated columns: `step * i` and `step * i + apart`.
#[derive(Clone, Copy, Debug)]
struct Columns {
    step: usize,
    apart: usize,
}

impl Columns {
    fn of(pairs: Pairs, half: usize) -> Self {
        match pairs {
            Pairs::Interleaved => Self { step: 2, apart: 1 },
            Pairs::Halves => Self { step: 1, apart: half },
        }
    }
}

fn rotate(x: CubeTensor, table: &Table, from: Columns, to: Columns, sign: f32) -> CubeTensor {
    let [batch, tokens, heads, width] = x.meta.shape().dims();
    let out = empty_beside(&x, [batch, tokens, heads, width]);
    let device = Device::new(burn::backend::DispatchDevice::Cube(x.device.clone()));
    let [cos, sin] = table.tensors([batch, tokens], &device).map(primitive);
    let (count, dim) = of_elements(&x, batch * tokens * heads, width - table.frequencies);
    let address = addresses([&x, &out, &cos, &sin]);
    rope::launch(
        &x.client.clone(),
        count,
        dim,
        address,
        x.into_tensor_arg(),
        cos.into_tensor_arg(),
        sin.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        from.step,
        from.apart,
        to.step,
        to.apart,
        sign,
    );
    out
}

fn primitive(tensor: burn::Tensor<4>) -> CubeTensor {
    tensor.inner().try_into_primitive::<Cube>().expect("uploaded to the device of the input")
}

/// A unit turns a pair of each of its rows, or copies one column of those before.
#[cube(launch, address_type = "dynamic")]
pub(super) fn rope(
    x: &Tensor<f32>,
    cos: &Tensor<f32>,
    sin: &Tensor<f32>,
    out: &mut Tensor<f32>,
    step_from: usize,
    apart_from: usize,
    step_to: usize,
    apart_to: usize,
    sign: f32,
) {
    let half = cos.shape(3);
    let (tokens, heads, width) = (x.shape(1), x.shape(2), x.shape(3));
    let still = width - 2 * half;
    let rows = x.shape(0) * tokens * heads;
    let column = ABSOLUTE_POS_X as usize;
    if column < still + half {
        for row in range_stepped(CUBE_POS_Y as usize, rows, CUBE_COUNT_Y as usize) {
            let (head, place) = (row % heads, row / heads);
            let (token, batch) = (place % tokens, place / tokens);
            let start = batch * x.stride(0) + token * x.stride(1) + head * x.stride(2);
            let target = row * width; // contiguous
            if column < still {
                out[target + column] = x[start + column * x.stride(3)];
            } else {
                let pair = column - still;
                let first = still + pair * step_from;
                let a = x[start + first * x.stride(3)];
                let b = x[start + (first + apart_from) * x.stride(3)];
                let angle = batch * cos.stride(0) + token * cos.stride(1) + pair * cos.stride(3);
                let c = cos[angle];
                let s = sin[angle] * sign;
                let written = target + still + pair * step_to;
                out[written] = a * c - b * s;
                out[written + apart_to] = b * c + a * s;
            }
        }
    }
}
