//! Fresh weights, drawn on the host from a generator that the caller passes: the same seed gives the same
//! model on every device.

use burn::module::Param;
use burn::tensor::{Device, Shape, Tensor, TensorData};
use rand::{Rng, RngExt};

/// Draws parameters for one model.
pub(crate) struct Initializer<'a, R> {
    pub(crate) rng: &'a mut R,
    pub(crate) device: &'a Device,
    pub(crate) std: f64,
}

impl<R: Rng> Initializer<'_, R> {
    /// A standard deviation that asks for zeros without drawing: the weights will be loaded.
    pub(crate) const BLANK: f64 = 0.0;

    /// Normal with mean 0 and the configured standard deviation.
    pub(crate) fn normal<const D: usize>(&mut self, shape: [usize; D]) -> Param<Tensor<D>> {
        let count: usize = shape.iter().product();
        if self.std == Self::BLANK {
            return self.parameter(vec![0.0; count], shape);
        }
        let values: Vec<f32> = (0..count).map(|_| (self.std * self.standard_normal()) as f32).collect();
        self.parameter(values, shape)
    }

    pub(crate) fn constant<const D: usize>(&mut self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        let count: usize = shape.iter().product();
        self.parameter(vec![value; count], shape)
    }

    fn parameter<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        let data = TensorData::new(values, Shape::from(shape));
        Param::from_tensor(Tensor::from_data(data, self.device))
    }

    /// Box-Muller on uniforms in (0, 1].
    fn standard_normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.rng.random::<f64>()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.rng.random::<f64>()).cos()
    }
}
