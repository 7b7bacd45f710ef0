//! What a policy says of given tokens, without ever holding all logits:
//! `cargo run --release -p ruminate-kernels --example score`

use burn::tensor::{Int, Tensor};
use ruminate_kernels::{rms_norm, token_logprobs};

fn main() {
    let device = ruminate_testkit::device();
    let (tokens, width, vocabulary) = (4, 16, 32);
    let wave = |rows: usize, step: f64| {
        let count = (rows * width) as i64;
        Tensor::<1, Int>::arange(0..count, &device).float().mul_scalar(step).sin().reshape([rows, width])
    };
    let (states, head) = (wave(tokens, 0.7), wave(vocabulary, 1.3));

    let hidden = rms_norm(states, Tensor::ones([width], &device), 1e-6);
    let said = token_logprobs(hidden, head, &[3, 1, 4, 1], 1.0);

    let logprobs = ruminate_testkit::floats(said.logprobs);
    let entropy = ruminate_testkit::floats(said.entropy);
    for (place, (logprob, entropy)) in logprobs.iter().zip(&entropy).enumerate() {
        eprintln!("place {place}: ln p(target) {logprob:7.3} nats, entropy {entropy:.3} nats");
    }
    eprintln!("a uniform policy would have {:.3} nats", (vocabulary as f32).ln());
}
