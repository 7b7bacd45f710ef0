//! Fresh weights, drawn on the host from a generator that the caller passes: the same seed gives the same
//! model on every device. Or no weights yet, where a file's will take their place.

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Shape, Tensor, TensorData};
use rand::{Rng, RngExt};

/// Makes the parameters of one model.
pub(crate) struct Initializer<'a, R> {
    pub(crate) source: Source<'a, R>,
    pub(crate) device: &'a Device,
}

/// Where the values of parameters come from.
pub(crate) enum Source<'a, R> {
    /// Drawn with this standard deviation.
    Drawn { rng: &'a mut R, std: f64 },
    /// Not yet known: a parameter has a shape, and no memory until its value is asked for.
    Pending,
}

impl<R: Rng> Initializer<'_, R> {
    /// Normal with mean 0 and the configured standard deviation.
    pub(crate) fn normal<const D: usize>(&mut self, shape: [usize; D]) -> Param<Tensor<D>> {
        match &mut self.source {
            Source::Drawn { rng, std } => {
                let values =
                    (0..shape.iter().product()).map(|_| (*std * standard_normal(rng)) as f32).collect();
                self.parameter(values, shape)
            }
            Source::Pending => self.pending(shape),
        }
    }

    pub(crate) fn constant<const D: usize>(&mut self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        match self.source {
            Source::Drawn { .. } => self.parameter(vec![value; shape.iter().product()], shape),
            Source::Pending => self.pending(shape),
        }
    }

    fn parameter<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        let data = TensorData::new(values, Shape::from(shape));
        Param::from_tensor(Tensor::from_data(data, self.device))
    }

    fn pending<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<D>> {
        let zeros =
            move |device: &Device, require_grad| Tensor::zeros(shape, device).set_require_grad(require_grad);
        Param::uninitialized(ParamId::new(), zeros, self.device.clone(), true, Shape::from(shape))
    }
}

/// Box-Muller on uniforms in (0, 1].
fn standard_normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (2.0 * std::f64::consts::PI * rng.random::<f64>()).cos()
}
