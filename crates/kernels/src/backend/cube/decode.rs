//! Attention of one new token per slot over a ring of columns: one kernel, which writes the new column, too. Scores are
//! weighed a tile of columns at a time (Dao et al. 2022), in the order of age, so that a slot's result does not depend on
//! where in the ring its columns lie.

// S slots, H query heads, Hk key-value heads, G = H / Hk, L columns, Dk key width, Dv value width, C latent columns

use super::launch::{addresses, cube, cubes, empty_beside, owned, units_of_row};
use super::reduce::{cube_max, cube_sum};
use crate::attention::{DecodeAttention, DecodeLatentAttention, VisibleColumns};
use crate::backend::Operation;
use burn::backend::Cube;
use burn::tensor::{Device, Shape};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

impl Operation<Cube, 5, 3> for DecodeAttention {
    fn forward(&self, [q, k, v, keys, values]: [CubeTensor; 5]) -> [CubeTensor; 3] {
        let (keys, values) = (owned(keys), owned(values));
        let value_width = v.meta.shape()[2];
        let out = attended(
            q,
            k,
            Values::Own(v, values.clone()),
            keys.clone(),
            value_width,
            &self.latest,
            self.scale,
        );
        [out, keys, values]
    }
}

impl Operation<Cube, 3, 2> for DecodeLatentAttention {
    fn forward(&self, [q, new, kept]: [CubeTensor; 3]) -> [CubeTensor; 2] {
        let kept = owned(kept);
        let [slots, columns, width] = kept.meta.shape().dims();
        let ([of_slot, of_column, of_width], [new_slot, new_width]) = (strides(&kept), strides(&new));
        // The latents as keys of one head, [S, 1, C + R, L].
        let keys = view(&kept, [slots, 1, width, columns], [of_slot, of_slot, of_width, of_column]);
        let k = view(&new, [slots, 1, width], [new_slot, new_slot, new_width]);
        let out = attended(q, k, Values::OfKeys, keys, self.width, &self.latest, self.scale);
        [out, kept]
    }
}

/// Where the values are.
enum Values {
    /// Those of the new tokens `[S, Hk, Dv]`, and the ring `[S, Hk, L, Dv]`.
    Own(CubeTensor, CubeTensor),
    /// The first columns of the keys.
    OfKeys,
}

fn strides<const D: usize>(tensor: &CubeTensor) -> [usize; D] {
    std::array::from_fn(|dimension| tensor.meta.strides()[dimension])
}

/// The same memory by another shape.
fn view<const D: usize>(tensor: &CubeTensor, shape: [usize; D], strides: [usize; D]) -> CubeTensor {
    let mut view = tensor.clone();
    view.meta.shape = Shape::new(shape);
    view.meta.strides = cubecl::zspace::Strides::new(&strides);
    view
}

/// `[S, H, Dv]`
fn attended(
    q: CubeTensor,
    k: CubeTensor,
    values: Values,
    keys: CubeTensor,
    value_width: usize,
    latest: &VisibleColumns,
    scale: f64,
) -> CubeTensor {
    let [slots, heads, key_width] = q.meta.shape().dims();
    let out = empty_beside(&q, [slots, heads, value_width]);
    let device = Device::new(burn::backend::DispatchDevice::Cube(q.device.clone()));
    let seen = latest.uploaded(&device).inner();
    let seen = seen.try_into_primitive::<Cube>().expect("uploaded to the device of the queries");
    let units = units_of_row(&q, 4 * value_width.max(128));
    let latent = matches!(values, Values::OfKeys);
    let (v, values) = match values {
        Values::Own(v, values) => (v, values),
        // Not looked at.
        Values::OfKeys => (empty_beside(&q, [1, 1, 1]), empty_beside(&q, [1, 1, 1, 1])),
    };
    let address = addresses([&q, &k, &v, &keys, &values, &out]);
    decode_attention::launch(
        &q.client.clone(),
        cubes(slots * heads),
        cube(units),
        address,
        q.into_tensor_arg(),
        k.into_tensor_arg(),
        v.into_tensor_arg(),
        keys.into_tensor_arg(),
        values.into_tensor_arg(),
        seen.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        scale as f32,
        units,
        key_width,
        value_width,
        latent,
    );
    out
}

/// A cube computes a query head of a slot: a unit scores a column of a tile, then sums columns of values. The latest column
/// is read from `k` and `v`, as the first head of each group writes it.
#[allow(clippy::too_many_arguments, reason = "of a kernel")]
#[cube(launch, address_type = "dynamic")]
pub(super) fn decode_attention(
    q: &Tensor<f32>,
    k: &Tensor<f32>,
    v: &Tensor<f32>,
    keys: &mut Tensor<f32>,
    values: &mut Tensor<f32>,
    seen: &Tensor<i32>,
    out: &mut Tensor<f32>,
    scale: f32,
    #[comptime] units: usize,
    #[comptime] key_width: usize,
    #[comptime] value_width: usize,
    #[comptime] latent: bool,
) {
    let (heads, columns) = (q.shape(1), keys.shape(3));
    let group = heads / k.shape(1);
    let unit = UNIT_POS as usize;
    let mut reduced = Shared::<[f32]>::new_slice(units);
    let mut weights = Shared::<[f32]>::new_slice(units);
    let mut query = Shared::<[f32]>::new_slice(key_width);
    let mut sums = Shared::<[f32]>::new_slice(value_width);
    for task in range_stepped(CUBE_POS, q.shape(0) * heads, CUBE_COUNT) {
        let (slot, head) = (task / heads, task % heads);
        let pair = head / group;
        let mut count = seen[2 * slot] as usize;
        if count > columns {
            count = columns;
        }
        let latest = seen[2 * slot + 1] as usize;
        let oldest = latest + 1 + columns - count;
        let (key, new_key) =
            (slot * keys.stride(0) + pair * keys.stride(1), slot * k.stride(0) + pair * k.stride(1));
        let value = slot * values.stride(0) + pair * values.stride(1);
        let new_value = slot * v.stride(0) + pair * v.stride(1);
        for d in range_stepped(unit, key_width, units) {
            query[d] = q[slot * q.stride(0) + head * q.stride(1) + d * q.stride(2)] * scale;
        }
        for d in range_stepped(unit, value_width, units) {
            sums[d] = 0.0f32;
        }
        sync_cube();
        let mut largest = f32::min_value();
        let mut total = 0.0f32;
        for first in range_stepped(0usize, count, units) {
            let age = first + unit;
            let mut score = f32::min_value();
            if age < count {
                score = 0.0f32;
                let column = (oldest + age) % columns;
                if column == latest {
                    for d in 0..key_width {
                        score += query[d] * k[new_key + d * k.stride(2)];
                    }
                } else {
                    for d in 0..key_width {
                        score += query[d] * keys[key + d * keys.stride(2) + column * keys.stride(3)];
                    }
                }
            }
            let next = largest.max(cube_max(score, &mut reduced, units));
            let factor = (largest - next).exp();
            let mut weight = 0.0f32;
            if age < count {
                weight = (score - next).exp();
            }
            weights[unit] = weight;
            total = total * factor + cube_sum(weight, &mut reduced, units); // all weights are written after it
            largest = next;
            let mut length = count - first;
            if length > units {
                length = units.runtime();
            }
            for d in range_stepped(unit, value_width, units) {
                let mut sum = sums[d] * factor;
                for i in 0..length {
                    let column = (oldest + first + i) % columns;
                    if comptime!(latent) {
                        if column == latest {
                            sum += weights[i] * k[new_key + d * k.stride(2)];
                        } else {
                            sum += weights[i] * keys[key + d * keys.stride(2) + column * keys.stride(3)];
                        }
                    } else if column == latest {
                        sum += weights[i] * v[new_value + d * v.stride(2)];
                    } else {
                        sum += weights[i] * values[value + column * values.stride(2) + d * values.stride(3)];
                    }
                }
                sums[d] = sum; // this unit's alone
            }
            sync_cube(); // before the next tile's weights
        }
        for d in range_stepped(unit, value_width, units) {
            let mut result = 0.0f32;
            if total > 0.0f32 {
                result = sums[d] / total;
            }
            let at = slot * out.stride(0) + head * out.stride(1) + d;
            out[at] = result;
        }
        if head % group == 0 {
            for d in range_stepped(unit, key_width, units) {
                let at = key + d * keys.stride(2) + latest * keys.stride(3);
                keys[at] = k[new_key + d * k.stride(2)];
            }
            if comptime!(!latent) {
                for d in range_stepped(unit, value_width, units) {
                    let at = value + latest * values.stride(2) + d * values.stride(3);
                    values[at] = v[new_value + d * v.stride(2)];
                }
            }
        }
        sync_cube(); // before the next query
    }
}
