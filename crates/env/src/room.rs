//! Whether a prompt and what may follow it fit into a model's positions: the one place that decides it, for
//! files, for procedural tasks and for what a student is asked. Does not know where prompts come from.

use crate::Error;

/// Bytes that a token of a vocabulary may stand for. Longer ones are runs of white space.
const BYTES_OF_A_TOKEN: usize = 256;

/// The positions of a model, and how many of them a completion may take; both in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    positions: usize,
    max_new_tokens: usize,
}

impl Room {
    /// `positions` is the longest sequence that every model of the run can take.
    pub fn new(positions: usize, max_new_tokens: usize) -> Self {
        Self { positions, max_new_tokens }
    }

    /// Tokens of the longest prompt that fits.
    pub fn prompt(self) -> usize {
        self.positions.saturating_sub(self.max_new_tokens)
    }

    /// Whether a prompt of so many tokens fits.
    pub fn holds(self, prompt_tokens: usize) -> bool {
        prompt_tokens <= self.prompt()
    }

    /// Tokens that a text has at the least, where these are too many already: it need not be encoded to see
    /// that.
    pub fn excess(self, text: &str) -> Option<usize> {
        let least = text.len() / BYTES_OF_A_TOKEN;
        (!self.holds(least)).then_some(least)
    }

    /// The sum that does not fit, in words.
    pub fn sum(self, prompt_tokens: usize) -> String {
        let Self { positions, max_new_tokens } = self;
        format!(
            "{prompt_tokens} tokens of the prompt and {max_new_tokens} of `rollout.max_new_tokens` are {}, \
             and the model has {positions} positions (`max_position_embeddings`)",
            prompt_tokens.saturating_add(max_new_tokens)
        )
    }

    /// Where the number of a prompt's tokens comes from, in words.
    pub fn why(self) -> String {
        let Self { positions, max_new_tokens } = self;
        format!(
            "the model has {positions} positions, and `rollout.max_new_tokens` = {max_new_tokens} are kept \
             for the answer"
        )
    }

    /// Positions behind a prompt of so many tokens; `None` where there are none.
    pub fn left(self, prompt_tokens: usize) -> Option<usize> {
        self.positions.checked_sub(prompt_tokens).filter(|left| *left > 0)
    }

    /// What to change so that a prompt of so many tokens fits.
    pub fn advice(self, prompt_tokens: usize) -> String {
        match self.left(prompt_tokens) {
            None => "make the prompts shorter, or choose a model with more positions".to_owned(),
            Some(left) => format!("set `rollout.max_new_tokens` to at most {left}"),
        }
    }

    /// The same for a file of which no prompt fits, by its shortest one.
    pub(crate) fn remedy(self, shortest: usize) -> String {
        match self.left(shortest) {
            Some(left) => format!(
                "lower `rollout.max_new_tokens` to at most {left}, or choose a model with more positions"
            ),
            None => {
                "the prompts alone are longer than that: no `rollout.max_new_tokens` helps, only a model \
                     with more positions"
                    .to_owned()
            }
        }
    }

    /// Checks prompts that are made up on the way: those of a file are left out and counted instead.
    ///
    /// # Errors
    /// [`Error::DoNotFit`].
    pub fn check(self, longest_prompt: usize) -> Result<(), Error> {
        if self.holds(longest_prompt) {
            return Ok(());
        }
        Err(Error::DoNotFit { prompt_tokens: longest_prompt, room: self })
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn a_prompt_fits_where_its_completion_does_too() {
        let room = Room::new(128, 48);
        assert!(room.holds(80) && !room.holds(81));
        assert_eq!(Room::new(40, 48).prompt(), 0);
        assert!(Room::new(usize::MAX, 48).holds(1 << 40));
        assert_eq!(room.excess(&"x".repeat(80 * 256)), None);
        assert_eq!(room.excess(&"x".repeat(81 * 256)), Some(81));
    }

    #[test]
    fn a_refusal_has_the_sum_and_the_number_that_would_fit() {
        let error = Room::new(128, 5000).check(18).expect_err("too long");
        let message = error.to_string();
        assert!(error.is_usage());
        for says in ["18 tokens", "5000", "5018", "128 positions", "`rollout.max_new_tokens` to at most 110"]
        {
            assert!(message.contains(says), "{message}");
        }
        let message = Room::new(128, 4).check(130).expect_err("too long").to_string();
        assert!(message.contains("choose a model with more positions"), "{message}");
    }
}
