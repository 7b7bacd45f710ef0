//! Teaches a fresh tiny model to say 7, with nothing but a reward: `cargo run -p ruminate-grpo --example sevens`.

mod toy;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    toy::run(|trainer| trainer)
}
