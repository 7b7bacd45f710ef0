//! AdamW with moments in 8 bits, with the numbers of bitsandbytes' `AdamW8bit` (Dettmers et al., arXiv 2110.02861): a
//! quarter of the state of AdamW.

// n elements of one parameter

use super::{AdamW, Buffer, Optimizer, OptimizerState, ParameterKind, ParameterState, ParameterUpdate};
use burn::tensor::Tensor;
use ruminate_kernels::{AdamWInt8State, adamw_int8};

/// AdamW whose moments are held in 8 bits, block by block. Those of parameters with fewer than 4096 elements stay in f32,
/// and so all of theirs is [`AdamW`]'s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdamWInt8;

impl Optimizer for AdamWInt8 {
    fn name(&self) -> &'static str {
        AdamW.name()
    }

    fn buffers(&self, kind: ParameterKind) -> &'static [&'static str] {
        AdamW.buffers(kind)
    }

    fn state(&self) -> OptimizerState {
        OptimizerState::Int8
    }

    fn update(&self, update: ParameterUpdate<'_>) -> (Tensor<1>, ParameterState) {
        let ParameterUpdate { parameter, value, gradient, clip, state, params } = update;
        let ParameterState { buffers, updates } = state;
        let [mean, square]: [Buffer; 2] = buffers.try_into().expect("AdamW has two buffers");
        match (mean, square) {
            (Buffer::Int8(mean), Buffer::Int8(square)) => {
                let state = AdamWInt8State { parameter: value, mean, square };
                let AdamWInt8State { parameter, mean, square } =
                    adamw_int8(state, gradient, AdamW::step(params, clip, updates));
                let buffers = vec![Buffer::Int8(mean), Buffer::Int8(square)];
                (parameter, ParameterState { buffers, updates })
            }
            (mean, square) => {
                let state = ParameterState { buffers: vec![mean, square], updates };
                AdamW.update(ParameterUpdate { parameter, value, gradient, clip, state, params })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AdamWInt8;
    use crate::optim::{Buffer, Optimizer, OptimizerState};
    use crate::optim::{Parameter, ParameterState, ParameterUpdate, StepParams};
    use burn::tensor::Tensor;
    use ruminate_kernels::Int8Moment;
    use ruminate_testkit as testkit;
    use std::collections::BTreeMap;

    #[derive(serde::Deserialize)]
    struct Fixture {
        maps: Maps,
        state: BTreeMap<usize, String>,
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Maps {
        signed: Vec<f32>,
        unsigned: Vec<f32>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        lr: f64,
        betas: [f64; 2],
        eps: f64,
        weight_decay: f64,
        start: Vec<f32>,
        steps: Vec<Step>,
    }

    #[derive(serde::Deserialize)]
    struct Step {
        gradient: Vec<f32>,
        parameter: Vec<f32>,
        mean: Moment,
        square: Moment,
    }

    #[derive(serde::Deserialize)]
    struct Moment {
        codes: String,
        absmax: Vec<f32>,
    }

    impl Moment {
        fn codes(&self) -> Vec<u8> {
            let digits = |at: usize| self.codes.get(at..at + 2).expect("two digits");
            let code = |at| u8::from_str_radix(digits(at), 16).expect("hexadecimal");
            (0..self.codes.len()).step_by(2).map(code).collect()
        }

        fn buffer(&self) -> Buffer {
            Buffer::Int8(Int8Moment::from_parts(&self.codes(), self.absmax.clone(), &testkit::device()))
        }
    }

    fn fixture() -> Fixture {
        testkit::json("train/adamw8bit.json")
    }

    /// The parameter and its state after one step from the given one, which was the step before it.
    fn step(
        case: &Case,
        value: &[f32],
        gradient: &[f32],
        state: ParameterState,
    ) -> (Vec<f32>, ParameterState) {
        let tensor = |values: &[f32]| Tensor::<1>::from_floats(values, &testkit::device());
        let (value, state) = AdamWInt8.update(ParameterUpdate {
            parameter: Parameter { name: "weight", shape: &[value.len()] },
            value: tensor(value),
            gradient: tensor(gradient),
            clip: 1.0,
            state: ParameterState { updates: state.updates + 1, ..state },
            params: StepParams {
                learning_rate: case.lr,
                betas: case.betas,
                epsilon: case.eps,
                weight_decay: case.weight_decay,
                max_grad_norm: 0.0,
            },
        });
        (testkit::floats(value), state)
    }

    /// Codes are equal but where a moment lies on the border of two values of the map, as near as f32 can tell. How many
    /// do.
    fn assert_codes(found: &Buffer, expected: &Moment, map: &[f32], exact: &[f64], case: &str) -> usize {
        let Buffer::Int8(found) = found else { panic!("{case}: expected 8 bits, found {found:?}") };
        testkit::assert_close_relative(&found.absmax(), &expected.absmax, 1e-6);
        let (codes, expected_codes) = (found.codes(), expected.codes());
        assert_eq!(codes.len(), expected_codes.len());
        let mut ties = 0;
        for (at, (&code, &expected_code)) in codes.iter().zip(&expected_codes).enumerate() {
            let absmax = f64::from(expected.absmax[at / 256]);
            if code == expected_code || absmax == 0.0 {
                continue;
            }
            let value = |code: u8| f64::from(map[usize::from(code)]) * absmax;
            let border = f64::midpoint(value(code), value(expected_code));
            assert_eq!(code.abs_diff(expected_code), 1, "{case}: code of element {at}");
            assert!((exact[at] - border).abs() <= 1e-6 * border.abs(), "{case}: element {at} is no tie");
            ties += 1;
        }
        ties
    }

    /// The moments of a step in f64 before they are rounded, from the codes of the one before.
    fn moments(before: Option<&Step>, step: &Step, maps: &Maps, betas: [f64; 2]) -> [Vec<f64>; 2] {
        let old = |moment: Option<&Moment>, map: &[f32], at: usize| {
            moment.map_or(0.0, |moment| {
                f64::from(map[usize::from(moment.codes()[at])]) * f64::from(moment.absmax[at / 256])
            })
        };
        let [beta1, beta2] = betas;
        let mean = |(at, &g): (usize, &f32)| {
            beta1 * old(before.map(|step| &step.mean), &maps.signed, at) + (1.0 - beta1) * f64::from(g)
        };
        let square = |(at, &g): (usize, &f32)| {
            let g = f64::from(g);
            beta2 * old(before.map(|step| &step.square), &maps.unsigned, at) + (1.0 - beta2) * g * g
        };
        [
            step.gradient.iter().enumerate().map(mean).collect(),
            step.gradient.iter().enumerate().map(square).collect(),
        ]
    }

    #[test]
    fn each_step_is_that_of_bitsandbytes_from_its_own_state() {
        let Fixture { maps, cases, .. } = fixture();
        assert_eq!(cases.len(), 3);
        let mut ties = 0;
        for case in &cases {
            let mut before: Option<&Step> = None;
            for (done, expected) in case.steps.iter().enumerate() {
                let zeros = || Buffer::Int8(Int8Moment::zeros(expected.gradient.len(), &testkit::device()));
                let buffers = before.map_or_else(
                    || vec![zeros(), zeros()],
                    |step| vec![step.mean.buffer(), step.square.buffer()],
                );
                let value = before.map_or(&case.start, |step| &step.parameter);
                let state = ParameterState { buffers, updates: done as u64 };
                let (found, state) = step(case, value, &expected.gradient, state);
                testkit::assert_close(&found, &expected.parameter, 1e-6);
                let [mean, square] = moments(before, expected, &maps, case.betas);
                ties += assert_codes(&state.buffers[0], &expected.mean, &maps.signed, &mean, &case.name);
                ties +=
                    assert_codes(&state.buffers[1], &expected.square, &maps.unsigned, &square, &case.name);
                before = Some(expected);
            }
        }
        assert!(ties <= 5, "{ties} of 5400 codes lie on a border");
    }

    #[test]
    fn three_steps_in_a_row_end_where_bitsandbytes_does() {
        for case in &fixture().cases {
            let zeros = || Buffer::Int8(Int8Moment::zeros(case.start.len(), &testkit::device()));
            let mut state = ParameterState { buffers: vec![zeros(), zeros()], updates: 0 };
            let mut value = case.start.clone();
            for step_of_theirs in &case.steps {
                (value, state) = step(case, &value, &step_of_theirs.gradient, state);
                testkit::assert_close(&value, &step_of_theirs.parameter, 1e-5);
            }
        }
    }

    #[test]
    fn as_in_bitsandbytes_a_parameter_of_less_than_4096_elements_keeps_f32() {
        let state = fixture().state;
        assert_eq!(state.len(), 2);
        for (length, theirs) in state {
            let ours = match Buffer::zeros(length, OptimizerState::Int8, &testkit::device()) {
                Buffer::Float32(_) => "float32",
                Buffer::Int8(_) => "uint8",
            };
            assert_eq!(ours, theirs, "{length} elements");
        }
    }
}
