//! Replies of servers: any bytes are refused, or become an answer that fits the request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruminate_fleet::reply::{
    Asked, ExpertShape, sglang_generate, sglang_scores, vllm_completions, vllm_generate, vllm_scores,
};

const PROMPT: [u32; 3] = [10, 20, 30];

fuzz_target!(|body: &[u8]| {
    let shape =
        ExpertShape { num_hidden_layers: 2, moe_layers: vec![1], experts_per_token: 1, num_experts: 4 };
    let asked = |kept| Asked {
        prompt: &PROMPT,
        max_tokens: 8,
        stop_ids: &[1],
        vocab_size: 64,
        experts: Some(&shape),
        kept,
    };
    let readers = [vllm_generate, vllm_completions, sglang_generate];
    for (read, kept) in readers.into_iter().flat_map(|read| [(read, false), (read, true)]) {
        if let Ok(answer) = read(body, &asked(kept)) {
            assert_eq!(answer.kept.len(), if kept { answer.ids.len() } else { 0 });
            let drawn = answer.ids.iter().enumerate().take(answer.kept.len());
            drawn.for_each(|(token, id)| assert!(answer.kept.at(token).contains(id)));
            assert_eq!(answer.ids.len(), answer.logprobs.len());
            assert!(answer.ids.len() <= 8 && answer.ids.iter().all(|id| *id < 64));
            assert!(answer.logprobs.iter().all(|number| number.is_nan() || *number <= 0.0));
            let spans = answer.versions.iter().flatten();
            assert!(spans.map(|(_, tokens)| tokens.len()).sum::<usize>() <= answer.ids.len());
        }
    }
    for read in [vllm_scores, sglang_scores] {
        if let Ok(scores) = read(body, &PROMPT) {
            assert_eq!(scores.len(), 2);
        }
    }
});
