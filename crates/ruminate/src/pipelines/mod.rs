//! The pipelines: each reads a recipe, enters its run folder, trains or measures, and leaves a summary.

mod announce;
pub(crate) mod distill;
pub(crate) mod eval;
pub(crate) mod pretrain;
pub(crate) mod sft;
pub(crate) mod train_rl;
