//! What stands before every prompt: a system message and solved examples. Renders nothing: messages go to
//! the chat template, text to prompts of bare text.

use ruminate_data::Message;

/// A system message and solved examples.
///
/// ```
/// use ruminate_data::Message;
/// use ruminate_text::Preamble;
///
/// let shot = vec![Message::new("user", "2+2?"), Message::new("assistant", "4")];
/// let preamble = Preamble::new(Some("Be brief."), vec![shot]);
/// assert_eq!(preamble.text(), "Be brief.\n\n2+2?\n4\n\n");
/// assert_eq!(preamble.before(&[Message::new("user", "1+1?")]).len(), 4);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preamble {
    system: Option<String>,
    /// Of each example its turns.
    shots: Vec<Vec<Message>>,
}

impl Preamble {
    /// A system message, where there is one, and solved examples: of each its turns, of which the last is the
    /// assistant's. A system message of white space is none.
    pub fn new(system: Option<&str>, shots: Vec<Vec<Message>>) -> Self {
        let system = system.filter(|system| !system.trim().is_empty()).map(str::to_owned);
        Self { system, shots }
    }

    /// A system message alone.
    pub fn of_system(system: Option<&str>) -> Self {
        Self::new(system, Vec::new())
    }

    /// The messages with what stands before them. A system message of their own takes the place of the
    /// preamble's.
    pub fn before(&self, messages: &[Message]) -> Vec<Message> {
        let own = usize::from(messages.first().is_some_and(|first| first.role() == "system"));
        let system =
            self.system.iter().filter(|_| own == 0).map(|system| Message::new("system", system.as_str()));
        let shots = self.shots.iter().flatten().cloned();
        let own_system = messages[..own].iter().cloned();
        system.chain(own_system).chain(shots).chain(messages[own..].iter().cloned()).collect()
    }

    /// The same for a prompt of bare text: the system message, then one line per turn of each example, with
    /// blank lines between. Empty where nothing stands before a prompt.
    pub fn text(&self) -> String {
        let shots =
            self.shots.iter().map(|turns| turns.iter().map(Message::text).collect::<Vec<_>>().join("\n"));
        self.system.iter().cloned().chain(shots).map(|part| part + "\n\n").collect()
    }

    /// The questions of the examples. A problem that asks one of them is shown solved before each prompt:
    /// training on it teaches nothing, and evaluating on it measures nothing.
    pub fn questions(&self) -> impl Iterator<Item = &str> {
        self.shots
            .iter()
            .flatten()
            .filter(|turn| turn.role() == "user")
            .filter_map(|turn| turn.get("content")?.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Preamble;
    use ruminate_data::Message;
    use serde_json::Value;

    fn turns(messages: &[Message]) -> Vec<(&str, &str)> {
        let content = |message: &'_ Message| message.get("content").and_then(Value::as_str).is_some();
        assert!(messages.iter().all(content));
        let content = |message| Message::get(message, "content").and_then(Value::as_str).unwrap_or_default();
        messages.iter().map(|message| (message.role(), content(message))).collect()
    }

    fn shot(question: &str, answer: &str) -> Vec<Message> {
        vec![Message::new("user", question), Message::new("assistant", answer)]
    }

    #[test]
    fn a_system_message_and_examples_stand_before_the_prompt() {
        let shots = vec![shot("2+2?", "2 and 2\n#### 4"), shot("3+3?", "six")];
        let made = Preamble::new(Some("Be brief."), shots);
        let asked = Message::new("user", "1+1?");
        let expected = [
            ("system", "Be brief."),
            ("user", "2+2?"),
            ("assistant", "2 and 2\n#### 4"),
            ("user", "3+3?"),
            ("assistant", "six"),
            ("user", "1+1?"),
        ];
        assert_eq!(turns(&made.before(std::slice::from_ref(&asked))), expected);

        let own = [Message::new("system", "Mine."), asked];
        assert_eq!(turns(&made.before(&own))[0], ("system", "Mine."), "the row's own goes first");
        assert_eq!(made.before(&own).len(), 6);
        assert_eq!(made.text(), "Be brief.\n\n2+2?\n2 and 2\n#### 4\n\n3+3?\nsix\n\n");
        assert_eq!(made.questions().collect::<Vec<_>>(), ["2+2?", "3+3?"]);
    }

    #[test]
    fn an_empty_system_message_is_none() {
        assert_eq!(Preamble::of_system(Some(" \n")), Preamble::default());
        assert_eq!(Preamble::of_system(None).text(), "");
    }
}
