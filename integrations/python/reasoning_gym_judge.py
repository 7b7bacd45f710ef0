"""Judges completions by reasoning-gym's own scorers, for the reward `command`:

    [[reward.components]]
    kind = "command"
    name = "reasoning_gym"
    command = ["python", "integrations/python/reasoning_gym_judge.py"]

It needs `pip install reasoning-gym`. A task is an entry of a reasoning-gym data set as that writes it: `question` (or
`prompt`), `answer`, and `metadata` with `source_dataset`. A line of JSON in, a line of JSON out, as docs/cli.md says.

The answer is the content of the one `<answer>`, else what stands behind the thought. A score of 1 is correct, any other
one wrong. What the scorer cannot judge of an answer is wrong; where it cannot judge the task's own answer either, or
knows no such data set, the verdict is unscored.

Some scorers call `eval` or sympy's `parse_expr` on the answer, which would run what a model wrote. Here both take
numbers, operators, names and literals only, an answer has at most 10,000 characters, and a scorer has 5 seconds.
"""

import ast
import json
import math
import re
import signal
import sys

MAX_CHARACTERS = 10_000
SECONDS = 5
# What an evaluated answer may be made of, beside literals.
OPERATORS = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Constant, ast.operator, ast.unaryop, ast.List, ast.Tuple, ast.Set,
    ast.Dict, ast.expr_context)
COMPOUND = (ast.List, ast.Tuple, ast.Set, ast.Dict)
MAX_SHIFT = 65  # the largest power or shift, and one
# Whatever reaches an attribute, a text, an item or a definition; a point is allowed in numbers only.
UNSAFE = re.compile(r"__|[\"'\\\[\]{};:@=]|\.\s*[A-Za-z_]|[A-Za-z_)]\s*\.|\b(lambda|import|for|if|exec|eval|open|while|yield|await)\b")
LARGE = re.compile(r"\d{60,}|(\*\*|\^)[^+\-*/)]*(\*\*|\^)|\*\*\s*\(?\s*\d{4,}|!|factorial|gamma", re.IGNORECASE)


# Data sets whose scorer takes any text for right (it compares truths of texts): here the texts are compared.
BY_TEXT = {"game_of_life_halting"}


class Late(Exception):
    """The scorer takes too long."""


def careful_eval(text, *_):
    """A literal, or arithmetic over numbers."""
    tree = ast.parse(str(text).strip(), mode="eval")
    for node in ast.walk(tree):
        if not isinstance(node, OPERATORS):
            raise ValueError(f"{type(node).__name__} is not evaluated")
        if isinstance(node, ast.BinOp) and any(isinstance(part, COMPOUND) or isinstance(getattr(part, "value", 0), (str, bytes))
                                               for part in ast.walk(node)):
            raise ValueError("only numbers are computed with")
        right = node.right if isinstance(node, ast.BinOp) else None
        small = isinstance(right, ast.Constant) and right.value in range(MAX_SHIFT)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Pow, ast.LShift)) and not small:
            raise ValueError("large powers are not evaluated")
    return eval(compile(tree, "<answer>", "eval"), {"__builtins__": {}})


def careful_parser(parse):
    """sympy's `parse_expr` for texts without anything but numbers, names, operators and calls of its functions."""
    def careful(text, *args, **named):
        if not isinstance(text, str) or UNSAFE.search(text) or LARGE.search(text):
            raise ValueError("this is no plain expression")
        return parse(text, *args, **named)

    return careful


def scorers():
    """reasoning-gym's `get_score_answer_fn`, once nothing in it evaluates what it is given."""
    import sympy
    from sympy.parsing import sympy_parser

    careful = careful_parser(sympy_parser.parse_expr)
    sympy.parse_expr = sympy.parsing.parse_expr = sympy_parser.parse_expr = careful
    import reasoning_gym
    from reasoning_gym.factory import get_score_answer_fn

    del reasoning_gym
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "reasoning_gym":
            module.eval = careful_eval
    return get_score_answer_fn


def extracted(prompt, text):
    """The answer of a completion, or nothing."""
    in_thought = prompt.rstrip().endswith("<think>")
    head, mark, rest = text.rpartition("</think>")
    if not mark and (in_thought or "<think>" in text):
        return None
    if "<think>" in rest or "<answer>" in head and "<answer>" not in rest:
        return None
    if "<answer>" not in rest and "</answer>" not in rest:
        return rest.strip() or None
    if rest.count("<answer>") != 1 or rest.count("</answer>") != 1:
        return None
    before, _, inner = rest.partition("<answer>")
    inner, closed, _ = inner.partition("</answer>")
    return inner.strip() or None if closed and "</answer>" not in before else None


def scored(score, answer, entry):
    """A scorer's score of an answer, in time; raises what the scorer raises."""
    def late(*_):
        raise Late(f"the scorer takes longer than {SECONDS} s")

    timed = hasattr(signal, "SIGALRM")
    if timed:
        signal.signal(signal.SIGALRM, late)
        signal.alarm(SECONDS)
    try:
        return float(score(answer=answer, entry=entry))
    finally:
        if timed:
            signal.alarm(0)


def tuples(value):
    """Lists as tuples, which JSON has made lists of."""
    if isinstance(value, list):
        return tuple(map(tuples, value))
    return {key: tuples(item) for key, item in value.items()} if isinstance(value, dict) else value


def entry_of(score, task, metadata):
    """The entry as the scorer wants it: some compare with tuples, which no file of JSON has."""
    entry = {**task, "question": task.get("question", task.get("prompt")), "metadata": metadata}
    for candidate in (entry, {**entry, "metadata": tuples(metadata)}):
        try:
            if scored(score, task["answer"], candidate) >= 1:
                return candidate
        except Exception:
            continue
    return entry


def judge(request, score_of):
    task = request["task"]
    metadata = task.get("metadata")
    metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
    name = (metadata or {}).get("source_dataset") or task.get("source_dataset")
    if not name:
        return {"verdict": "unscored", "why": "the task has no `metadata` with `source_dataset`"}
    try:
        score = score_of(name)
    except ValueError as error:
        return {"verdict": "unscored", "why": str(error)}
    entry = entry_of(score, task, metadata)
    answer = extracted(request.get("prompt") or "", request["completion"])
    if answer is None:
        return {"verdict": "wrong", "score": 0, "why": "there is no one answer"}
    if len(answer) > MAX_CHARACTERS:
        return {"verdict": "wrong", "score": 0, "why": f"the answer has more than {MAX_CHARACTERS} characters"}
    if name in BY_TEXT:
        score = lambda answer, entry: answer.lower() == str(entry["answer"]).lower()  # noqa: E731
    try:
        value = scored(score, answer, entry)
    except (Exception, RecursionError) as error:
        why = f"{name}: {type(error).__name__}: {error}"[:300]
        try:
            scored(score, task["answer"], entry)
        except Exception:
            return {"verdict": "unscored", "why": f"{why}; the task's own answer cannot be scored either"}
        return {"verdict": "wrong", "score": 0, "extracted": answer, "why": why}
    value = value if math.isfinite(value) else 0.0
    verdict = "correct" if value >= 1 else "wrong"
    return {"verdict": verdict, "score": value, "extracted": answer, "why": f"{name} scores {value}"}


def main():
    score_of = scorers()
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps({"id": request["id"], **judge(request, score_of)}), flush=True)


if __name__ == "__main__":
    main()
