//! A file's tasks: what does not become a prompt is an error with path and line, and what is too long is left
//! out and counted. Token ids are made here where only they tell.

use super::problem;
use crate::{Data, Error, Reward, Room};
use rayon::prelude::*;
use ruminate_data::jsonl::Row;
use ruminate_data::{Problem, Task};
use ruminate_text::{Error as TextError, Renderer};
use std::collections::HashSet;
use std::path::Path;

/// What a file has.
pub(super) struct Rows {
    /// The problems that fit, in the file's order.
    pub(super) problems: Vec<Listed>,
    rows: usize,
    bad: usize,
    too_long: usize,
}

/// A problem of a file.
pub(super) enum Listed {
    /// With its token ids.
    Encoded(Problem),
    /// It fits, whatever its token ids are, and has some: they are made when it is asked.
    Text(Task),
}

impl Listed {
    pub(super) fn task(&self) -> &Task {
        match self {
            Self::Encoded(Problem { task, .. }) | Self::Text(task) => task,
        }
    }

    pub(super) fn into_task(self) -> Task {
        match self {
            Self::Encoded(Problem { task, .. }) | Self::Text(task) => task,
        }
    }

    /// The problem with its token ids.
    pub(super) fn problem(&self, renderer: &Renderer) -> Result<Problem, TextError> {
        match self {
            Self::Encoded(problem) => Ok(problem.clone()),
            Self::Text(task) => problem(renderer, task.clone()),
        }
    }
}

impl Rows {
    /// Different prompts.
    pub(super) fn different(&self) -> usize {
        self.problems.iter().map(|problem| problem.task().prompt.text()).collect::<HashSet<_>>().len()
    }

    /// Its rows, in words.
    pub(super) fn note(&self, path: &Path) -> String {
        let Self { problems, rows, bad, too_long } = self;
        let repeated = problems.len() - self.different();
        let mut parts = vec![format!("{rows} rows")];
        for (count, what) in [
            (bad, "bad and left out"),
            (too_long, "too long and left out"),
            (&repeated, "with a prompt seen before"),
        ] {
            if *count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        format!("{}: {}", path.display(), parts.join(", "))
    }
}

/// A row that became a prompt.
enum Encoded {
    Fits(Listed),
    /// Longer than fits, with the least number of tokens that it can have.
    TooLong(usize),
}

/// Reads a file.
pub(super) fn read(
    path: &Path,
    data: &Data,
    reward: &Reward,
    renderer: &Renderer,
    room: Room,
    notify: &mut dyn FnMut(String),
) -> Result<Rows, Error> {
    let rows = data.task_format(reward).tasks(path, data.bad_lines.into())?;
    if let Some(example) = &rows.first_skipped {
        notify(format!("warning: {} bad lines left out, such as {example}", rows.skipped));
    }
    let prompts = rows.rows.len();
    let encode = |row: Row<Task>| (row.line, encoded(row.value, renderer, room));
    let encoded: Vec<_> = rows.rows.into_par_iter().map(encode).collect();
    let (mut problems, mut shortest) = (Vec::new(), usize::MAX);
    for (line, row) in encoded {
        match row.map_err(|problem| Error::line(path, line, problem))? {
            Encoded::TooLong(least) => shortest = shortest.min(least),
            Encoded::Fits(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        return Err(Error::AllTooLong { path: path.to_owned(), prompts, shortest, room });
    }
    let too_long = prompts - problems.len();
    if too_long > 0 {
        notify(format!(
            "warning: {}: {too_long} of {prompts} prompts have more than {} tokens and were left out; {}",
            path.display(),
            room.prompt(),
            room.why()
        ));
    }
    Ok(Rows { problems, rows: prompts + rows.skipped, bad: rows.skipped, too_long })
}

/// A task with its token ids where they have to be known, or what is wrong with it.
fn encoded(task: Task, renderer: &Renderer, room: Room) -> Result<Encoded, String> {
    // What cannot fit is not encoded: a text of megabytes would take seconds.
    if let Some(least) = room.excess(&task.prompt.text()) {
        return Ok(Encoded::TooLong(least));
    }
    let text = renderer.render(&task.prompt, &task.columns).map_err(|error| error.to_string())?;
    // Nor is what surely fits: most of a large file is never asked.
    if renderer.tokenizer.most_tokens(&text).is_some_and(|most| most > 0 && room.holds(most)) {
        return Ok(Encoded::Fits(Listed::Text(task)));
    }
    let prompt_ids = renderer.tokenizer.encode(&text).map_err(|error| error.to_string())?;
    match prompt_ids.len() {
        0 => Err("the prompt has no token".to_owned()),
        length if room.holds(length) => Ok(Encoded::Fits(Listed::Encoded(Problem { task, prompt_ids }))),
        length => Ok(Encoded::TooLong(length)),
    }
}
