//! R1-Zero's prompt for pretrained base models. The embedded default does not use it: it prompts with the bare
//! problem.

/// The prompt under which R1-Zero trains a base model (DeepSeek-R1, Table 1), the question in its place.
///
/// The completion starts right behind `Assistant:`; a policy that follows the template opens with `<think>`.
pub fn r1_zero_prompt(question: &str) -> String {
    format!(
        "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. \
         The assistant first thinks about the reasoning process in the mind and then provides the user with \
         the answer. The reasoning process and answer are enclosed within <think> </think> and <answer> \
         </answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> answer here \
         </answer>. User: {question}. Assistant:"
    )
}

#[cfg(test)]
mod tests {
    use super::r1_zero_prompt;

    #[test]
    fn the_question_stands_once_between_user_and_assistant() {
        let prompt = r1_zero_prompt("What is 1+1?");
        assert!(prompt.starts_with("A conversation between User and Assistant. The user asks a question,"));
        assert!(prompt.ends_with("</answer>. User: What is 1+1?. Assistant:"));
        assert!(!prompt.contains("  "), "line continuations must not leave double spaces");
    }
}
