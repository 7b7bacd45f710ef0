//! How far an import is.

/// How many of the tensors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Tensors written.
    pub done: usize,
    /// Tensors in all.
    pub of: usize,
    /// The one that is written now, by its name in the model folder; empty at the end.
    pub tensor: &'a str,
}
