//! What a completion's tokens have to obey besides the distribution: what ends them, what they may not contain, and what is
//! put into their place.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

/// What ends a completion before its longest length (an ending token, or a test of the tokens so far), which sequences of
/// tokens it may not contain, and which tokens are forced.
#[derive(Clone, Default)]
pub struct Stop {
    token_ids: Arc<[u32]>,
    test: Option<StopTest>,
    bad_words: Arc<[Box<[u32]>]>,
    prefix: Arc<[u32]>,
    thinking: Option<ThinkingBudget>,
}

/// Whether a completion of these tokens is at its end.
type StopTest = Arc<dyn Fn(&[u32]) -> bool + Send + Sync>;

/// Whether a thought is open after a prompt and the tokens of its completion so far.
type OpenTest = Arc<dyn Fn(&[u32], &[u32]) -> bool + Send + Sync>;

/// How long a completion may think. A thought that is still open after so many tokens is closed by force.
#[derive(Clone)]
pub struct ThinkingBudget {
    /// Tokens of a completion, from 1, after which an open thought is closed.
    pub tokens: usize,
    close: Arc<[u32]>,
    is_open: OpenTest,
}

impl ThinkingBudget {
    /// A budget of so many tokens; an open thought is closed by the tokens `close`. `is_open` gets a prompt and the
    /// completion's first `tokens` tokens.
    pub fn new(
        tokens: usize,
        close: &[u32],
        is_open: impl Fn(&[u32], &[u32]) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { tokens, close: close.into(), is_open: Arc::new(is_open) }
    }

    /// The tokens that close a thought.
    pub fn close(&self) -> &[u32] {
        &self.close
    }

    fn forced(&self, prompt: &[u32], ids: &[u32]) -> Option<u32> {
        let closing = ids.len().checked_sub(self.tokens)?;
        let token = self.close.get(closing).copied()?;
        (self.is_open)(prompt, &ids[..self.tokens]).then_some(token)
    }
}

impl Debug for ThinkingBudget {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_struct("ThinkingBudget")
            .field("tokens", &self.tokens)
            .field("close", &self.close)
            .finish_non_exhaustive()
    }
}

impl Stop {
    /// Ends at the first of these tokens, which is then the completion's last.
    pub fn at(token_ids: &[u32]) -> Self {
        Self { token_ids: token_ids.into(), ..Self::default() }
    }

    /// Ends, besides, where `test` holds of the completion's tokens so far. It is called after each token.
    #[must_use]
    pub fn or_when(self, test: impl Fn(&[u32]) -> bool + Send + Sync + 'static) -> Self {
        Self { test: Some(Arc::new(test)), ..self }
    }

    /// Never completes one of these sequences: the last token of a sequence has probability 0 where the tokens before it
    /// are the completion's last ones. Empty sequences are ignored.
    #[must_use]
    pub fn without(self, bad_words: Vec<Vec<u32>>) -> Self {
        let words = bad_words.into_iter().filter(|word| !word.is_empty());
        Self { bad_words: words.map(Vec::into_boxed_slice).collect(), ..self }
    }

    /// Forces the completion to begin with these tokens. They count as its tokens, and the policy has not drawn them.
    #[must_use]
    pub fn after(self, prefix: &[u32]) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Closes a thought that is too long.
    #[must_use]
    pub fn thinking_within(self, budget: ThinkingBudget) -> Self {
        Self { thinking: Some(budget), ..self }
    }

    /// The ending tokens.
    pub fn token_ids(&self) -> &[u32] {
        &self.token_ids
    }

    /// The sequences that a completion never contains.
    pub fn bad_words(&self) -> &[Box<[u32]>] {
        &self.bad_words
    }

    /// Whether there is a test besides the ending tokens, which an engine elsewhere cannot ask.
    pub fn has_test(&self) -> bool {
        self.test.is_some()
    }

    /// Whether tokens are forced: a prefix, or the end of a long thought. An engine that cannot force tokens has to refuse
    /// such a request.
    pub fn forces(&self) -> bool {
        !self.prefix.is_empty() || self.thinking.is_some()
    }

    /// Whether a completion of these tokens is at its end.
    pub fn ends(&self, ids: &[u32]) -> bool {
        ids.last().is_some_and(|last| self.token_ids.contains(last))
            || self.test.as_ref().is_some_and(|test| test(ids))
    }

    /// The token that comes after these of a completion, where it is forced.
    pub fn forced(&self, prompt: &[u32], ids: &[u32]) -> Option<u32> {
        let of_prefix = self.prefix.get(ids.len()).copied();
        of_prefix.or_else(|| self.thinking.as_ref()?.forced(prompt, ids))
    }
}

impl Debug for Stop {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_struct("Stop")
            .field("token_ids", &self.token_ids)
            .field("test", &self.has_test())
            .field("bad_words", &self.bad_words)
            .field("prefix", &self.prefix)
            .field("thinking", &self.thinking)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Stop, ThinkingBudget};

    #[test]
    fn a_completion_ends_at_an_ending_token_or_where_the_test_holds() {
        let stop = Stop::at(&[1, 9]).or_when(|ids| ids.ends_with(&[4, 5]));
        for (ids, ends) in
            [(&[1][..], true), (&[3, 9], true), (&[9, 3], false), (&[4, 5], true), (&[], false)]
        {
            assert_eq!(stop.ends(ids), ends, "{ids:?}");
        }
        assert!(!Stop::default().ends(&[1]));
        assert!(stop.has_test() && !Stop::at(&[1]).has_test());
    }

    #[test]
    fn a_prefix_and_the_end_of_a_long_thought_are_forced_one_token_after_the_other() {
        let open = |prompt: &[u32], ids: &[u32]| prompt.ends_with(&[8]) && !ids.contains(&9);
        let stop = Stop::at(&[1]).after(&[5, 6]).thinking_within(ThinkingBudget::new(3, &[7, 9], open));
        assert!(stop.forces() && !Stop::at(&[1]).forces());
        for (prompt, ids, forced) in [
            (&[8][..], &[][..], Some(5)),
            (&[8], &[5], Some(6)),
            (&[8], &[5, 6], None),
            (&[8], &[5, 6, 2], Some(7)),
            (&[8], &[5, 6, 2, 7], Some(9)),
            (&[8], &[5, 6, 2, 7, 9], None),
            (&[8], &[5, 6, 9], None), // closed in time
            (&[3], &[5, 6, 2], None), // no thought
        ] {
            assert_eq!(stop.forced(prompt, ids), forced, "{prompt:?} {ids:?}");
        }
    }
}
