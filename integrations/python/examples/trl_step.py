"""One step of TRL's GRPOTrainer with a reward of ruminate_verify, on a tiny model that is made on the spot. Opt-in: it needs
torch, transformers and trl, and no download.

    pip install torch transformers trl
    python examples/trl_step.py"""

import math
import tempfile

from datasets import Dataset
from ruminate_verify.trl import reward
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer


def tokenizer():
    """A token for each printable character."""
    characters = [chr(code) for code in range(32, 127)]
    vocabulary = {token: index for index, token in enumerate(["<pad>", "<eos>", *characters])}
    characters = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    characters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=characters, pad_token="<pad>", eos_token="<eos>")


def main():
    words = tokenizer()
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0, eos_token_id=1, bos_token_id=1,
    )
    rows = [{"prompt": f"{a}+{a}=", "solution": str(2 * a)} for a in range(4)]
    with tempfile.TemporaryDirectory() as out:
        args = GRPOConfig(
            output_dir=out, max_steps=1, per_device_train_batch_size=4, num_generations=4, max_completion_length=8,
            report_to=[], save_strategy="no", use_cpu=True, logging_steps=1,
        )
        # About half of random texts begin with one of these, so that the step has something to learn from.
        begins = reward("regex", gold=None, pattern="^[ -O]", subject="response", extent="part")
        rewards = [reward("last_number", gold="solution"), begins]
        trainer = GRPOTrainer(
            model=LlamaForCausalLM(config), reward_funcs=rewards, args=args, train_dataset=Dataset.from_list(rows),
            processing_class=words,
        )
        loss = trainer.train().training_loss
        logged = trainer.state.log_history[0]
    print({name: value for name, value in logged.items() if name.startswith("rewards/") or name == "grad_norm"})
    assert trainer.state.global_step == 1 and math.isfinite(loss)
    assert "rewards/last_number_reward/mean" in logged
    print("one step of GRPOTrainer, with rewards of ruminate_verify")


if __name__ == "__main__":
    main()
