//! Reading of what verifiers judge: tags, numbers, decimals and expressions. It returns values and no verdicts.

pub(crate) mod claim;
pub(crate) mod decimal;
pub(crate) mod expression;
pub(crate) mod number;
pub(crate) mod rational;
pub mod tags;
