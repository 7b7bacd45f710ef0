//! An operation as a backend computes it, and as a node of autodiff's graph.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};
use std::fmt::Debug;
use std::marker::PhantomData;

/// The form of an operation on one backend: N tensors in, M out, each f32. `Self` is what the operation knows besides
/// its tensors.
pub(crate) trait Operation<B: Backend, const N: usize, const M: usize> {
    /// Whether the backend has a form of the operation. Where it has none the reference composition runs, and
    /// nothing else here is called; [`by_reference`] says so of several.
    const FUSED: bool = true;

    /// Whether the form computes this very operation; where it does not, the reference composition runs. Operations that
    /// have cases which a backend leaves out ask for it.
    fn covers(&self) -> bool {
        true
    }

    /// Computes the results. A tensor that nothing else holds may be written in place.
    fn forward(&self, inputs: [FloatTensor<B>; N]) -> [FloatTensor<B>; M];
}

/// An operation whose first result has a gradient with respect to each input. The other results have none.
pub(crate) trait Differentiable<B: Backend, const N: usize, const M: usize>:
    Operation<B, N, M> + Clone + Debug + Send + 'static
{
    /// What the backward pass reads: inputs, or what was computed on the way.
    type Kept: Clone + Debug + Send + 'static;

    /// As [`Operation::forward`], and what the backward pass needs. `tracked` names the inputs whose gradients will be
    /// asked for, one at least.
    fn forward_tracked(
        &self,
        inputs: [FloatTensor<B>; N],
        tracked: [bool; N],
    ) -> ([FloatTensor<B>; M], Self::Kept);

    /// The gradients of the inputs from `upstream`, that of the first result. Those of inputs that are not `tracked`
    /// are not read.
    fn backward(
        &self,
        kept: Self::Kept,
        upstream: FloatTensor<B>,
        tracked: [bool; N],
    ) -> [Option<FloatTensor<B>>; N];
}

/// [`Differentiable::forward_tracked`] of an operation whose backward pass reads its inputs.
pub(crate) fn keep_inputs<B: Backend, O, const N: usize, const M: usize>(
    operation: &O,
    inputs: [FloatTensor<B>; N],
) -> ([FloatTensor<B>; M], [FloatTensor<B>; N])
where
    O: Operation<B, N, M>,
{
    (operation.forward(inputs.clone()), inputs)
}

/// The node of an operation in autodiff's graph.
struct Node<O, const M: usize>(PhantomData<O>);

impl<O, const M: usize> Debug for Node<O, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::any::type_name::<O>())
    }
}

impl<B: Backend, O, const N: usize, const M: usize> Backward<B, N> for Node<O, M>
where
    O: Differentiable<B, N, M>,
{
    type State = (O, O::Kept);

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let upstream = gradients.consume::<B>(&ops.node);
        let (operation, kept) = ops.state;
        let tracked = ops.parents.each_ref().map(Option::is_some);
        for (node, gradient) in ops.parents.into_iter().zip(operation.backward(kept, upstream, tracked)) {
            if let Some(node) = node {
                let gradient = gradient.expect("a tracked input has a gradient");
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

/// Computes an operation on tensors with a graph, and adds its node to that.
pub(crate) fn forward_on_graph<B: Backend, C: CheckpointStrategy, O, const N: usize, const M: usize>(
    operation: O,
    inputs: [FloatTensor<Autodiff<B, C>>; N],
) -> [FloatTensor<Autodiff<B, C>>; M]
where
    O: Differentiable<B, N, M>,
{
    let nodes = inputs.each_ref().map(FloatTensor::<Autodiff<B, C>>::node);
    let tracked = inputs.each_ref().map(FloatTensor::<Autodiff<B, C>>::is_tracked);
    let inputs = inputs.map(FloatTensor::<Autodiff<B, C>>::into_primitive);
    match Node::<O, M>(PhantomData).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (results, kept) = operation.forward_tracked(inputs, tracked);
            with_node::<B, C, M>(results, |result| prepared.finish((operation, kept), result))
        }
        OpsKind::UnTracked(prepared) => {
            with_node::<B, C, M>(operation.forward(inputs), |result| prepared.finish(result))
        }
    }
}

/// The first result with its node, the others with none.
fn with_node<B: Backend, C: CheckpointStrategy, const M: usize>(
    results: [FloatTensor<B>; M],
    finish: impl FnOnce(FloatTensor<B>) -> FloatTensor<Autodiff<B, C>>,
) -> [FloatTensor<Autodiff<B, C>>; M] {
    let mut finish = Some(finish);
    results.map(|result| match finish.take() {
        Some(finish) => finish(result),
        None => FloatTensor::<Autodiff<B, C>>::new(result),
    })
}

/// Declares an operation that backends have forms of: `operation!(Name(x: Tensor<2>, ..) -> (y: Tensor<2>, ..))` for a
/// type of that name. It gives the type the function `form`, which says whether the backend of a tensor has a form of
/// it, and the method `fused`, with these arguments and results: the form of the backend that the tensors are on, as a
/// node of autodiff's graph where they have one.
///
/// With `untracked` before the name the operation has no gradient, and its results no graph.
macro_rules! operation {
    (untracked $name:ident $inputs:tt -> $outputs:tt) => {
        $crate::backend::with_backends!(operation! { untracked $name $inputs $outputs });
    };
    ($name:ident $inputs:tt -> $outputs:tt) => {
        $crate::backend::with_backends!(operation! { tracked $name $inputs $outputs });
    };

    // The same with the list of backends.
    ([$($(#[cfg $condition:tt])? $backend:ident),+] { $tracking:ident $name:ident $inputs:tt $outputs:tt }) => {
        #[allow(unused_parens, reason = "an operation may have a single result")]
        #[cfg_attr(feature = "second-backend", allow(deprecated, reason = "the second backend of tests, which Burn will remove"))]
        const _: () = {
            use burn::backend::{Backend, Dispatch, DispatchDevice};
            use burn::tensor::{DType, Tensor};

            /// Burn's macro knows tensors by the name of their type.
            type FloatTensor<B, const RANK: usize> = burn::backend::tensor::FloatTensor<B>;

            $crate::backend::operation! {
                @$tracking [$($backend $(: cfg $condition)?),+] $name $inputs $outputs
            }
            $(
                $(#[cfg $condition])?
                const _: () = {
                    $crate::backend::operation! { @backend $backend $name $inputs $outputs }
                };
            )+

            /// A backend's [`FUSED`]($crate::backend::Operation::FUSED) of this operation.
            trait HasForm {
                const FUSED: bool;

                fn covers(operation: &$name) -> bool;
            }

            #[allow(dead_code, reason = "an operation asks for the form by one of both")]
            impl $name {
                /// The form for tensors like this one, of f32.
                pub(crate) fn form<const D: usize>(tensor: &Tensor<D>) -> $crate::backend::Form {
                    Self::form_of(tensor, &[DType::F32])
                }

                /// The form where products take the dtype of this operand.
                pub(crate) fn form_of_products<const D: usize>(operand: &Tensor<D>) -> $crate::backend::Form {
                    Self::form_of(operand, &[DType::F32, DType::BF16])
                }

                /// The same of this operation, which a backend's form may leave out.
                pub(crate) fn own_form_of_products<const D: usize>(&self, operand: &Tensor<D>) -> $crate::backend::Form {
                    $crate::backend::form_where(operand, &[DType::F32, DType::BF16], |device| match device {
                        $(
                            $(#[cfg $condition])?
                            DispatchDevice::$backend(_) => {
                                <burn::backend::$backend as HasForm>::FUSED
                                    && <burn::backend::$backend as HasForm>::covers(self)
                            }
                        )+
                        #[allow(unreachable_patterns, reason = "reachable when another backend is compiled in")]
                        _ => false,
                    })
                }

                fn form_of<const D: usize>(tensor: &Tensor<D>, dtypes: &[DType]) -> $crate::backend::Form {
                    $crate::backend::form_where(tensor, dtypes, |device| match device {
                        $(
                            $(#[cfg $condition])?
                            DispatchDevice::$backend(_) => <burn::backend::$backend as HasForm>::FUSED,
                        )+
                        #[allow(unreachable_patterns, reason = "reachable when another backend is compiled in")]
                        _ => false,
                    })
                }
            }
        };
    };

    (@tracked [$($backends:tt)+] $name:ident $inputs:tt $outputs:tt) => {
        $crate::backend::operation! { @trait [$($backends)+, Autodiff] $name $inputs $outputs }
        $crate::backend::operation! { @graph $name $inputs $outputs }
        $crate::backend::operation! { @method std::convert::identity, $name $inputs $outputs }
    };
    (@untracked [$($backends:tt)+] $name:ident $inputs:tt $outputs:tt) => {
        $crate::backend::operation! { @trait [$($backends)+] $name $inputs $outputs }
        $crate::backend::operation! { @method Tensor::inner, $name $inputs $outputs }
    };

    // What Burn's dispatch chooses the backend for.
    (
        @trait [$($backends:tt)+] $name:ident
        ($($input:ident: Tensor<$rank:literal>),+) ($($output:ident: Tensor<$out_rank:literal>),+)
    ) => {
        #[burn::backend::backend_extension($($backends)+)]
        trait Dispatched: Backend {
            fn run($($input: FloatTensor<Self, $rank>,)+ operation: $name) -> ($(FloatTensor<Self, $out_rank>),+);
        }
    };

    // On a backend: its form.
    (
        @backend $backend:ident $name:ident
        ($($input:ident: Tensor<$rank:literal>),+) ($($output:ident: Tensor<$out_rank:literal>),+)
    ) => {
        impl Dispatched for burn::backend::$backend {
            fn run($($input: FloatTensor<Self, $rank>,)+ operation: $name) -> ($(FloatTensor<Self, $out_rank>),+) {
                let [$($output),+] =
                    $crate::backend::Operation::<Self, _, _>::forward(&operation, [$($input),+]);
                ($($output),+)
            }
        }

        impl HasForm for burn::backend::$backend {
            const FUSED: bool = <$name as $crate::backend::Operation<
                Self,
                { [$($rank),+].len() },
                { [$($out_rank),+].len() },
            >>::FUSED;

            fn covers(operation: &$name) -> bool {
                $crate::backend::Operation::<Self, { [$($rank),+].len() }, { [$($out_rank),+].len() }>::covers(operation)
            }
        }
    };

    // On autodiff: a node around the form of the backend below.
    (
        @graph $name:ident
        ($($input:ident: Tensor<$rank:literal>),+) ($($output:ident: Tensor<$out_rank:literal>),+)
    ) => {
        impl<B: Backend, C> Dispatched for burn::backend::Autodiff<B, C>
        where
            C: burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy,
            $name: $crate::backend::Differentiable<B, { [$($rank),+].len() }, { [$($out_rank),+].len() }>,
        {
            fn run($($input: FloatTensor<Self, $rank>,)+ operation: $name) -> ($(FloatTensor<Self, $out_rank>),+) {
                let [$($output),+] = $crate::backend::forward_on_graph::<B, C, _, _, _>(operation, [$($input),+]);
                ($($output),+)
            }
        }
    };

    // On tensors of any backend that has the form.
    (
        @method $prepared:path, $name:ident
        ($($input:ident: Tensor<$rank:literal>),+) ($($output:ident: Tensor<$out_rank:literal>),+)
    ) => {
        impl $name {
            /// Computes the form of the backend that the tensors are on.
            pub(crate) fn fused(self, $($input: Tensor<$rank>),+) -> ($(Tensor<$out_rank>),+) {
                let ($($output),+) = Dispatch::run($($prepared($input).into_dispatch(),)+ self);
                ($(Tensor::from_dispatch($output)),+)
            }
        }
    };
}
pub(crate) use operation;

/// Operations that a backend has no form of, those with a gradient and then those without:
/// `by_reference!(Backend: [Name, ..], untracked [Name, ..])`. They run as their reference compositions.
#[cfg(any(feature = "cube", all(test, feature = "second-backend")))] // the partial backends
macro_rules! by_reference {
    ($backend:ident: [$($tracked:ident),*], untracked [$($untracked:ident),*]) => {
        $crate::backend::by_reference! { @operations $backend $($tracked)* $($untracked)* }
        $(
            impl<const N: usize, const M: usize> $crate::backend::Differentiable<$backend, N, M> for $tracked {
                type Kept = std::convert::Infallible;

                fn forward_tracked(
                    &self,
                    _: [burn::backend::tensor::FloatTensor<$backend>; N],
                    _: [bool; N],
                ) -> ([burn::backend::tensor::FloatTensor<$backend>; M], Self::Kept) {
                    unreachable!("{} has no form here", stringify!($tracked))
                }

                fn backward(
                    &self,
                    kept: Self::Kept,
                    _: burn::backend::tensor::FloatTensor<$backend>,
                    _: [bool; N],
                ) -> [Option<burn::backend::tensor::FloatTensor<$backend>>; N] {
                    match kept {}
                }
            }
        )*
    };
    (@operations $backend:ident $($name:ident)*) => {
        $(
            impl<const N: usize, const M: usize> $crate::backend::Operation<$backend, N, M> for $name {
                const FUSED: bool = false;

                fn forward(
                    &self,
                    _: [burn::backend::tensor::FloatTensor<$backend>; N],
                ) -> [burn::backend::tensor::FloatTensor<$backend>; M] {
                    unreachable!("{} has no form here", stringify!($name))
                }
            }
        )*
    };
}
#[cfg(any(feature = "cube", all(test, feature = "second-backend")))]
pub(crate) use by_reference;
