"""Inputs to start from, each a file of `corpus/TARGET/`: the cases of `fixtures/reward`, chat templates, tokenizers, GGUF files,
files of model folders, problems and rows of a run; and words for `-dict`.

    python fuzz/seeds.py
"""

import hashlib
import json
from pathlib import Path

HERE = Path(__file__).parent
ROWS = [json.loads(line) for name in ("math", "math_more", "hacks")
        for line in (HERE / f"../fixtures/reward/{name}.jsonl").read_text().splitlines()]
# What stands in an input's first line; the completion is the rest.
FIRST_LINE = {"math": "gold", "countdown": "target", "format": None, "regex": "pattern"}
WORDS = r"""\frac{ \dfrac{ \sqrt{ \sqrt[ \boxed{ \left( \right) \begin{pmatrix} \end{pmatrix} \begin{cases} \text{ \mathbb{R}
\cup \cap \infty \pi \pm \cdot \times \le \ge \ne \approx \in \log_ \sin \binom{ \sum_{ \int \overline{ \% \$ \, \\ \{ \}
\[ \] \( \) $$ } ^ _ & ! <think> </think> <answer> </answer> #### answer: final and or 1e9 1/2 0.(3) x=1 10^{10 (?i) (?: [^ {1,9}""".split()


TEMPLATE_WORDS = """{{ }} {% %} {%- -%} for in if elif else endif endfor set macro endmacro call namespace( loop.index0 |tojson |join( |replace(
.split( .format( .strip( ~ == not is defined messages role content add_generation_prompt raise_exception( strftime_now(""".split()
# A run folder's files in the order of the target, 0xFF between them.
RUN = [
    [{"step": step, "reward": 0.5, "entropy": 1.0, "kl": 0.0, "rewards/format/mean": 1.0} for step in (1, 2)],
    [{"step": 0, "set": "validation", "n": 4, "pass@1": 0.25, "pass@1_ci": [0.1, 0.4]}],
    [{"step": 1, "load": [[5, 1], [3, 3]]}],
    [{"step": 1, "set": "validation", "index": 0, "prompt": "<fuzz>", "answer": "2", "text": "<fuzz>", "verdict": "correct", "why": "x"}],
    [{"step": 1, "index": 3, "sample": 0, "prompt": "<fuzz>", "text": "</script><fuzz>", "logprobs": [-0.5, None], "advantage": 0.5,
      "verdict": "wrong", "why": "<fuzz>", "finish_reason": "stop"}],
    [{"step": 1, "index": 3, "sample": 0, "tokens": ["<fuzz>", "2"], "ratio": [1.1, 0.9], "entropy": [0.2, 0.3], "experts": [[[0, 1], [2, 3]]]}],
    [{"command": "train-rl", "seed": 0, "data": {"task": "<fuzz>"}}],
    [{"alarms": [], "seconds": 1.5}],
]


DATA = {
    'e{"a": [1, null]}': ['{"a": [1.0, null]}', 'so: ```json\n{"a": 1}\n```', "[1, {}]"],
    's{"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"pattern": "^x+$", "multipleOf": 0.1}}, "uniqueItems": true}': ['{"a": {"b": "xx"}}'],
    't[{"f.g": {"x": [1, 2], "y": ["a b", ""]}}, {"h": {}}]': [
        "[f.g(x=1, y='A B'), h()]", '<tool_call>{"name": "h", "arguments": {}}</tool_call>', "```\n[h(), f_g(x=-1.5e3, z=[True, (None,), {'k': 1}])]\n```"]}


def of_rewards():
    """Inputs of the targets that take a row and a completion."""
    for row, completions in DATA.items():
        yield from (("data", f"{row}\n{completion}".encode()) for completion in completions)
    golden = json.loads((HERE / "../fixtures/reward/ifeval.json").read_text(encoding="utf-8"))
    for name, kwargs, response, _ in (golden["ifeval"] + golden["ifbench"])[::2]:
        row = json.dumps({"instruction_id_list": [name], "kwargs": [kwargs]})
        yield "instructions", f"{row}\n{response}".encode()


UNITS = ["cm", "km/h", "m s^{-2}", "million dollars", "square feet", "kg \\cdot m^2", "\\Omega", "%", "apples", "°C", "and", "or more"]


def of_texts():
    """Inputs of the readers of free text and of units."""
    names = ["choice", "exact", "format", "gsm8k", "language", "last_number", "overlong", "repetition", "tag_count", "text"]
    letters = {names[ord(letter) % len(names)]: letter for letter in "abcdefghij"}
    for name in ("hacks", "verify-2"):
        for line in (HERE / f"../fixtures/reward/{name}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["kind"] in letters:
                gold = str(row.get("gold", "")).replace("\n", " ")
                yield "texts", f"{letters[row['kind']]}{gold}\n{row['completion']}".encode()
    yield "texts", f"{letters['text']}the Denver Broncos\n<answer>Broncos, Denver.</answer>".encode()
    yield from (("quantities", f"{one}\n{other}".encode()) for one in UNITS for other in UNITS[::3])
    for line in (HERE / "../fixtures/reward/code_cases.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        columns = {key: value for key, value in row.items() if key not in ("kind", "completion", "expected", "id", "name", "note")}
        yield "programs", f"{json.dumps(columns)}\n{row['completion']}".encode()


def of_rows():
    """Inputs of the readers of files and rows."""
    for path in (HERE / "../fixtures/data").glob("*.parquet"):
        yield "containers", b"\0" + path.read_bytes()
    for line in (HERE / "../fixtures/data/layouts.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        text = next((value for key, value in row.items() if key in ("line", "first_line", "row", "text")), line)
        text = text if isinstance(text, str) else json.dumps(text)
        yield from (("containers", how + form.encode()) for how in (b"\0", b"\1", b"\2") for form in (text + "\n", f"[{text},\n{text}]"))
        yield "columns", f"answer=reward_model.ground_truth prompt=messages.0.content\n{text}".encode()
        yield "columns", f"answer=answer prompt=question\n{text}".encode()


def of_pipes():
    """Inputs of the target whose input came through a pipe."""
    ended = {"Ended": {"ending": {"Exited": 0}, "stdout": "2\n", "stderr": ""}}
    layers = {"namespaces": "Own", "account": "Own", "landlock_signals": True, "own_proc": True, "control_group": False}
    results = [{"Ok": ended}, {"Ok": {"Ended": {"ending": "TimedOut", "stdout": "", "stderr": "\u0000"}}}, {"Ok": {"Layers": layers}},
               {"Err": {"Start": {"program": "python3", "reason": "none"}}}, {"Err": {"Layer": {"layer": "Landlock", "reason": "none"}}}]
    for result in results:
        for nonce in (7, 8):
            for started in (b"started\n", b""):
                yield b"\0" + started + json.dumps({"nonce": nonce, "result": result}).encode() + b"\n"
    for line in ('0 pass ""', '1 fail "3 != 4"', 'all broken "no module"', 'all unstarted "gone"', '2 gone "it ended"', '9 pass ""'):
        for nonce in ("00c0ffee", "00c0ffef"):
            yield f"\1{nonce} {line}\nPASS\n".encode()


def of_files():
    """Inputs of the targets whose input is a file."""
    fixtures = HERE / "../fixtures"
    yield from (("template", path.read_bytes()) for path in fixtures.glob("text/templates/*.jinja"))
    yield from (("template", row[0].encode()) for row in json.loads((fixtures / "text/jinja.json").read_text())["rows"])
    yield from (("tokenizer", path.read_bytes()) for path in fixtures.glob("text/**/tokenizer.json") if path.stat().st_size < 100_000)
    yield from (("gguf", path.read_bytes()) for path in fixtures.glob("gguf/*.gguf"))
    sharded = fixtures / "model/qwen3_moe_sharded"
    yield from (("weights", b"\0" + path.read_bytes()) for path in fixtures.glob("model/*/config.json"))
    yield "weights", b"\1" + (sharded / "model.safetensors.index.json").read_bytes()
    yield from (("weights", which + (sharded / "model-00001-of-00003.safetensors").read_bytes()) for which in (b"\2", b"\3"))
    for row in ({"question": "1+1", "answer": "#### 2"}, {"prompt": [{"role": "user", "content": "a"}], "answer": "b", "tools": [{}]},
                {"problem": "x", "solution": "\\boxed{1}", "level": 3}, {"text": "a", "canonical_solution": "b", "test_list": ["assert True"]}):
        yield "jsonl", json.dumps(row).encode() + b"\n"
    tokens = [{"token_id": 7, "logprob": -0.5}, {"token_id": 8, "logprob": -9999.0}, {"token_id": 1, "logprob": None}]
    scores = [None, {"20": {"logprob": -1.5}}, {"30": {"logprob": -2.5}}]
    spans = [{"version": "run:3", "start": 0, "end": 3}]
    choice = {"finish_reason": "stop", "token_ids": [7, 8, 1], "weight_versions": spans, "routed_experts": None}
    masks = [[7, 9], [8], [1, 2, 3]]
    meta = {"completion_tokens": 3, "finish_reason": {"type": "stop"}, "output_token_logprobs": [[-0.5, 7, None], [-1, 8, None], [-1, 1, None]],
            "input_token_logprobs": [[None, 10, None], [-1.5, 20, None], [-2.5, 30, None]], "weight_versions": spans}
    for reply in ({"choices": [{**choice, "logprobs": {"content": tokens}}], "prompt_logprobs": scores},
                  {"choices": [{**choice, "logprobs": {"content": tokens}, "sampling_mask": masks}]},
                  {"choices": [{**choice, "logprobs": {"content": tokens}, "sampling_mask": {"token_ids": masks}}]},
                  {"meta_info": {**meta, "output_token_sampling_mask": masks, "output_token_sampling_logprobs": [-0.25, -0.5, 0]}},
                  {"choices": [{**choice, "logprobs": {"token_logprobs": [-0.5, None, -1]}, "prompt_logprobs": scores}]}, {"meta_info": meta}):
        yield "reply", json.dumps(reply).encode()
    files = ["".join(json.dumps(row) + "\n" for row in rows).encode() for rows in RUN]
    yield "report", b"\xff".join(files)
    yield from (("report", b"\xff" * place + file) for place, file in enumerate(files))


def keep(target, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def main():
    for target, data in [*of_files(), *of_rewards(), *of_texts(), *of_rows()]:
        keep(target, data)
    for data in of_pipes():
        keep("replies", data)
    for target, key in FIRST_LINE.items():
        for row in ROWS:
            if row["kind"] == target or (target == "format" and row["kind"] != "regex"):
                first = str(row.get(key, "")).replace("\n", " ")
                keep(target, f"{first}\n{row['completion']}".encode())
    for name, words in (("words", WORDS), ("template", TEMPLATE_WORDS)):
        escaped = (word.replace("\\", "\\\\").replace('"', '\\"') for word in words)
        (HERE / "corpus" / f"{name}.dict").write_text("".join(f'"{word}"\n' for word in escaped))


if __name__ == "__main__":
    main()
