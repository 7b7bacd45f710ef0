//! How many tasks have an answer that their verifier can read: said at the start of a run, before a policy is trained on
//! the rest.

use crate::verifier::Verifier;
use ruminate_data::Task;
use std::fmt::{self, Display, Formatter};

/// The answers of a data set as its verifier reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Tasks that were looked at.
    pub tasks: usize,
    /// Those whose answer cannot be read: every response to them will be unscored.
    pub unread: usize,
    /// The first of them: its answer, and why it cannot be read.
    pub first: Option<(String, String)>,
}

impl Display for Survey {
    /// One sentence for a log.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.first {
            None => write!(f, "all {} answers can be read", self.tasks),
            Some((answer, why)) => {
                let shown: String = answer.chars().take(80).collect();
                let unread = self.unread;
                write!(
                    f,
                    "{unread} of {} answers cannot be read and leave their tasks unscored, the first {shown:?}: {why}",
                    self.tasks
                )
            }
        }
    }
}

/// Reads the answer of every task with the verifier that judges it.
///
/// ```
/// use ruminate_data::Task;
/// use ruminate_reward::{by_name, survey};
///
/// let tasks = [Task::new("7+5=", "12"), Task::new("Prove it.", "proof")];
/// let survey = survey(by_name("math")?.as_ref(), &tasks);
/// assert_eq!((survey.tasks, survey.unread), (2, 1));
/// # Ok::<(), ruminate_reward::Error>(())
/// ```
pub fn survey<'a>(verifier: &dyn Verifier, tasks: impl IntoIterator<Item = &'a Task>) -> Survey {
    let mut survey = Survey::default();
    for task in tasks {
        survey.tasks += 1;
        if let Err(why) = verifier.check_gold(task) {
            survey.unread += 1;
            survey.first.get_or_insert((task.answer.clone(), why));
        }
    }
    survey
}
