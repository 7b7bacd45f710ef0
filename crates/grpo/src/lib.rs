//! Group relative policy optimization (Shao et al., arXiv 2402.03300; DeepSeek-R1, arXiv 2501.12948): a policy
//! samples a group of completions for each problem, a caller's function scores them, and what beats its group's
//! mean becomes more likely. It knows token ids and verdicts; text and how verdicts come about are the caller's.
//!
//! Read [`train`] from top to bottom: it is the algorithm. [`advantages`] and [`loss`] are its two formulas.

mod advantages;
mod config;
mod error;
mod judging;
mod learn;
pub mod loss;
mod memory;
mod metrics;
mod mismatch;
mod rollouts;
mod trainer;
mod verdicts;

pub use advantages::{Advantages, advantages, decoupled_advantages};
pub use config::{Aggregation, Config, ImportanceLevel, LossType, RouterReplay, Scale};
pub use error::Error;
pub use memory::{Demand, Plan, memory_plan};
pub use trainer::{Setup, train};
pub use verdicts::{MAX_REWARD, Verdicts};
