//! The ratio's cap: TRL's limit of importance ratios between sampler and trainer, on the ratio itself.
//!
//! ```text
//! min(ρ, C) takes the place of ρ outside the clip,    C = max(3, the clip's upper end)
//! ```
//!
//! The ratio is against the sampler, so it corrects the sampler's rounding, too; there it must not grow without limit.
//! The clip bounds the ratio of positive advantages already.

use super::LIMIT;

/// The largest ratio, at least the clip's upper end.
pub(super) fn limit(upper_end: f64) -> f64 {
    LIMIT.max(upper_end)
}
