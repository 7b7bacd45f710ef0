"""What the peers share: loading a model with or without weights, and the JSON line at the end."""
import importlib.metadata, json, os, resource
import torch
from transformers import AutoConfig, AutoModelForCausalLM

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def load(folder, dtype):
    """A folder's weights, or random ones where it holds only a config.json."""
    if any(name.endswith(".safetensors") for name in os.listdir(folder)):
        return AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype])
    return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).to(DTYPES[dtype])


def print_line(tokens, step_s, dtype, packages=("torch", "transformers")):
    """The last line of the output: the keys of `ruminate bench`, and the versions of what was measured."""
    print(json.dumps({
        "tokens_per_s": tokens / step_s,
        "step_s": step_s,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,  # KiB on Linux
        "device": "cpu",
        "dtype": str(DTYPES.get(dtype, dtype)).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "versions": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages),
    }))
