//! distill
