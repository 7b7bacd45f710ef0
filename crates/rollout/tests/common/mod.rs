//! Requests that the tests of this crate share.

use ruminate_data::Seed;
use ruminate_rollout::Request;

/// Requests with prompts of different length, some shared.
pub(crate) fn requests(count: u64) -> Vec<Request> {
    (0..count)
        .map(|i| Request {
            prompt_ids: (0..=i % 5).map(|t| 2 + (7 * (i % 5) + 3 * t) as u32 % 38).collect(),
            seed: Seed::new(11).index(i),
        })
        .collect()
}
