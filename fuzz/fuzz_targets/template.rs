//! Whatever a chat template says, it renders, or is refused, within its budget.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruminate_data::Message;
use ruminate_text::{ChatTemplate, GenerationPrompt, SpecialTokens, TemplateInputs};
use std::time::UNIX_EPOCH;

fuzz_target!(|data: &[u8]| {
    let source = String::from_utf8_lossy(data);
    let special =
        SpecialTokens { bos: Some("<s>".into()), eos: Some("</s>".into()), ..SpecialTokens::default() };
    let Ok(template) = ChatTemplate::new(&source, &special, UNIX_EPOCH) else { return };
    let messages =
        ["system", "user", "assistant", "user"].map(|role| Message::new(role, "a <think>b</think> c"));
    let inputs = TemplateInputs::default();
    let _either = template.render(&messages, &inputs, GenerationPrompt::Add);
    if let Ok(chat) = template.render_marked(&messages, &inputs) {
        assert!(chat.assistant.iter().all(|part| chat.text.get(part.clone()).is_some()));
    }
});
