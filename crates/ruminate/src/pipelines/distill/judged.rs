//! On-policy distillation from a teacher that is a server: the student writes here, the server says how probable its model
//! finds each token.

use super::student;
use super::{TEACHERS, end, identity};
use crate::error::Refusal;
use crate::evaluator::Evaluator;
use crate::evaluator::summary::Finished;
use crate::fleet::{self, RemoteTeacher};
use crate::pipelines::announce;
use crate::run::session::Session;
use crate::run::stage::{Entered, OnExisting, enter};
use anyhow::Result;
use ruminate_data::Seed;
use ruminate_reward::shown_address;

/// The whole command.
///
/// # Errors
/// Those of data, the server, training and saving.
pub(super) fn from_server(session: &Session, url: &str) -> Result<Finished> {
    let (recipe, out) = (&session.recipe, session.out());
    fleet::check_teacher(recipe, url)?;
    let Some(given) = &recipe.distill.student else {
        return Err(Refusal::usage("`distill.student` is missing; expected a student that learns"));
    };
    let student = student::student(session, given, None)?;
    let config = student.config()?;
    let mut problems =
        recipe.problems(&student.renderer, config.max_position_embeddings, Seed::new(recipe.seed))?;
    let identity = identity(session, &TEACHERS)?;
    let stage = match enter(session, &out, identity, OnExisting::Kept)? {
        Entered::Complete(summary) => return Ok(Finished::new(&out, summary)),
        Entered::Open(stage) => stage,
    };
    session.tell_settings();
    announce::distill(recipe, &shown_address(url), &problems);
    let longest = problems.training(&student.renderer, 0)?.prompt_ids.len() + recipe.rollout.max_new_tokens;
    let teacher = RemoteTeacher::hello(recipe, url, &student.renderer, config.vocab_size, longest)?;
    let student = student.pretrained(session, &out)?;
    let judge = recipe.grader(&student.renderer)?;
    let evaluator = Evaluator::new(recipe, &student.renderer, &judge, &problems)?;
    let fitted = student.on_policy(session, &stage, &teacher, &mut problems, &judge, &evaluator)?;
    end(&stage, &student, fitted, None, None, &out)
}
