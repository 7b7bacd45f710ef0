//! Walking the parameters by their Hugging Face names. Optimizer state, checkpoints and weight files are all
//! keyed by these names, so nothing depends on Burn's random parameter ids.

use crate::Decoder;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};

/// Sees every parameter with its name.
pub trait ParameterVisitor {
    /// One parameter; `trained` says whether gradients are wanted for it.
    fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, trained: bool);
}

/// Replaces every parameter.
pub trait ParameterMapper {
    /// The new value of one parameter. It keeps the old one's place in training.
    fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D>;
}

impl Decoder {
    /// Visits all parameters in a fixed order.
    pub fn visit_parameters(&self, visitor: &mut impl ParameterVisitor) {
        self.visit(&mut Walk { path: self.path(), action: visitor });
    }

    /// Visits the names and shapes of all parameters in the same order, and makes none that is pending.
    pub(crate) fn visit_shapes(&self, action: &mut impl FnMut(&str, &[usize])) {
        self.visit(&mut Shapes { path: self.path(), action });
    }

    /// Maps all parameters in the same order.
    #[must_use]
    pub fn map_parameters(self, mapper: &mut impl ParameterMapper) -> Self {
        let path = self.path();
        self.map(&mut Walk { path, action: mapper })
    }

    /// Gives every parameter its value, in the same order and in the dtype that comes with it; those that are pending are never made for it.
    ///
    /// # Errors
    /// The first that `value` has; the parameters after it are not asked for.
    pub(crate) fn with_values<E>(
        self,
        value: &mut impl FnMut(&str, &[usize]) -> Result<(Vec<f32>, DType), E>,
    ) -> Result<Self, E> {
        let mut walk = Values { path: self.path(), value, failure: None };
        let filled = self.map(&mut walk);
        walk.failure.map_or(Ok(filled), Err)
    }

    /// Number of parameters, router biases included.
    pub fn parameter_count(&self) -> usize {
        self.num_params()
    }

    fn path(&self) -> Path {
        Path { segments: Vec::new(), blocks: self.config().num_hidden_layers }
    }
}

/// Whether a parameter of that name, with so many dimensions, may be held in bfloat16. Norms and biases are small, and what a
/// router rounds differently goes to other experts.
pub(crate) fn may_be_bfloat16(name: &str, dimensions: usize) -> bool {
    let routes = [".mlp.gate.weight", ".mlp.shared_expert_gate.weight"].iter().any(|end| name.ends_with(end));
    dimensions > 1 && !routes
}

struct Walk<'a, A> {
    path: Path,
    action: &'a mut A,
}

impl<A: ParameterVisitor> ModuleVisitor for Walk<'_, A> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        self.action.visit(&self.path.name(), &tensor, tensor.is_require_grad());
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.segments.pop();
    }
}

/// A walk that asks a parameter for its shape only.
struct Shapes<'a, F> {
    path: Path,
    action: &'a mut F,
}

impl<F: FnMut(&str, &[usize])> ModuleVisitor for Shapes<'_, F> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        (self.action)(&self.path.name(), &param.lazy_shape().dims::<D>());
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.segments.pop();
    }
}

impl<A: ParameterMapper> ModuleMapper for Walk<'_, A> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let (id, tensor, mapper) = param.consume();
        let trained = tensor.is_require_grad();
        let tensor = self.action.map(&name, tensor).detach().set_require_grad(trained);
        Param::from_mapped_value(id, tensor, mapper)
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.segments.pop();
    }
}

/// A walk that replaces parameters without looking at them.
struct Values<'a, F, E> {
    path: Path,
    value: &'a mut F,
    failure: Option<E>,
}

impl<E, F: FnMut(&str, &[usize]) -> Result<(Vec<f32>, DType), E>> ModuleMapper for Values<'_, F, E> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.failure.is_some() {
            return param;
        }
        let shape = param.lazy_shape();
        match (self.value)(&self.path.name(), &shape.dims::<D>()) {
            Ok((values, dtype)) => {
                let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), &param.lazy_device());
                let tensor = if dtype == DType::F32 { tensor } else { tensor.cast(dtype) };
                let id = param.id;
                param.transform_for_load(tensor, id)
            }
            Err(error) => {
                self.failure = Some(error);
                param
            }
        }
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.segments.pop();
    }
}

/// Where the walk is; `None` for a level that Hugging Face's names do not have.
struct Path {
    segments: Vec<Option<String>>,
    blocks: usize,
}

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        let segment = match name {
            // Variants of our enums, and fields that hold one of several forms, are not in the names.
            _ if container.starts_with("Enum:") => None,
            "query" | "qkv" | "gate_up" | "norms" | "shared" | "adapter" => None,
            // PEFT's names, less the `base_model.model.` before all of them.
            "lora_a" => Some("lora_A.weight"),
            "lora_b" => Some("lora_B.weight"),
            name => Some(name),
        };
        self.segments.push(segment.map(str::to_owned));
    }

    /// The name in a checkpoint. The trunk lies under `model.`, and the multi-token prediction module is
    /// numbered as the block after the last.
    fn name(&self) -> String {
        let segments: Vec<&str> = self.segments.iter().flatten().map(String::as_str).collect();
        match segments.as_slice() {
            ["lm_head", ..] => segments.join("."),
            ["mtp", "block", rest @ ..] | ["mtp", rest @ ..] => {
                format!("model.layers.{}.{}", self.blocks, rest.join("."))
            }
            _ => format!("model.{}", segments.join(".")),
        }
    }
}
