"""Runs a task's checker over one output of a program, which is text here and nothing else.

The checker is a Python file with the paths of input, output and answer as its arguments (testlib's order; what reads
them as input, answer, output is told apart by the names that it gives them), the output on standard input, and its
verdict in its exit code, in one word or number on standard output, or in what a function of it returns. The order is
in its folder; a verdict is one line that begins with a nonce. It comes behind careful.py.
"""

import io
import json
import os
import re

ACCEPTED = {"1", "1.0", "ok", "ac", "accepted", "correct", "yes", "true", "pass", "passed", "valid"}
FUNCTIONS = ("check", "checker", "judge", "verify", "validate", "is_valid", "is_correct", "grade", "compare", "evaluate")
# What the names of parameters and variables mean, tried in this order.
MEANINGS = (
    ("expected", r"expect|answer|correct|reference|gold|truth|judge|jury|ans\b"),
    ("input", r"^(inp|input|stdin|in|case|test)|_in(put)?(_|$)|input_"),
    ("output", r"out|actual|found|result|solution|participant|submi|candidate|user|prediction|response|got|contestant"))


class Refused(BaseException):
    """The checker would run a text of the program's."""


class Broken(Exception):
    """The checker can judge no output."""


def refuse(why):
    raise Refused(why)


def meaning(name):
    return next((what for what, pattern in MEANINGS if re.search(pattern, name.lower())), None)


def reads_answer_second(tree):
    """Whether the checker takes the answer before the output, by the names it gives its arguments."""
    named = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        targets, value = node.targets[0], node.value
        parts = targets.elts if isinstance(targets, ast.Tuple) else [targets]
        for at, target in enumerate(parts):
            own = value.elts[at] if isinstance(value, ast.Tuple) and len(value.elts) == len(parts) else value
            if isinstance(target, ast.Name):
                for index in indices(own, at):
                    named[index] = meaning(target.id)
    return named.get(2) == "expected" or (named.get(3) == "output" and named.get(2) != "output")


def indices(value, at):
    """Which arguments a value takes of `sys.argv`."""
    found = [node for node in ast.walk(value) if isinstance(node, ast.Subscript)
             and isinstance(node.value, (ast.Attribute, ast.Name))
             and getattr(node.value, "attr", getattr(node.value, "id", "")) == "argv"]
    for node in found:
        index = node.slice
        if isinstance(index, ast.Constant) and type(index.value) is int:
            yield index.value
        elif isinstance(index, ast.Slice) and isinstance(index.lower, ast.Constant):
            yield index.lower.value + at


def check_imports(tree):
    import importlib.util

    for node in tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            if importlib.util.find_spec(name.split(".")[0]) is None:
                raise Broken(f"imports {name}, which is not installed here")


def entry(tree):
    """The function that judges, where the file only defines."""
    defined = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    quiet = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    texts = [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
             and isinstance(node.value.value, str)]
    assigned = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]
    if not defined or any(not isinstance(node, quiet) and node not in texts + assigned for node in tree.body):
        return None
    function = next((defined[name] for name in FUNCTIONS if name in defined), None)
    function = function or (next(iter(defined.values())) if len(defined) == 1 else None)
    if function is None:
        raise Broken("only defines functions, of which none is called " + ", ".join(FUNCTIONS))
    arguments = [argument.arg for argument in function.args.args]
    meant = [meaning(name) for name in arguments]
    if None in meant or len(set(meant)) != len(meant) or "output" not in meant:
        raise Broken(f"has a function {function.name} whose parameters are not known: {', '.join(arguments)}")
    return function.name, meant


def returned(value):
    if isinstance(value, (tuple, list)) and value:
        value = value[0]
    if type(value) in (bool, int, float):
        return value >= 1, f"returns {value}"
    return False, f"returns a {type(value).__name__}, not a truth or a number"


def printed(text, code):
    """The verdict of what the checker wrote and of its exit code."""
    words = text.split()
    if code:
        return False, f"exits with {code}: {text[:100]}"
    if not words:
        return True, ""
    first = words[0].strip(".,:!").lower()
    is_one = len(text.strip().splitlines()) == 1
    return is_one and (first in ACCEPTED), f"says {text.strip()[:100]!r}"


def judge(order, stdout):
    try:
        tree = ast.parse(order["checker"])
        check_imports(tree)
        code = compile(tree, "<checker>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Broken(f"does not compile as Python: {error}") from None
    texts = {kind: order[kind] for kind in ("input", "output", "expected")}
    function = entry(tree)
    second, third = ("expected", "output") if reads_answer_second(tree) else ("output", "expected")
    names = [f"{kind}.txt" for kind in ("input", second, third)]
    for kind, text in texts.items():
        with open(f"{kind}.txt", "w", encoding="utf-8", newline="") as file:
            file.write(text)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    # The task's own texts may be run: the expected output, too, where it is a program.
    written = {texts["input"], texts["expected"]} | {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))}
    sys.argv, sys.stdin, sys.stdout = ["checker.py", *names], io.StringIO(texts["output"]), stdout
    space = {"__name__": "__main__", "__file__": "checker.py", **careful(refuse, used, written)}
    exit_code = 0
    try:
        exec(code, space)
        if function is not None:
            name, meant = function
            return returned(space[name](*[texts[kind] for kind in meant]))
    except SystemExit as ended:
        exit_code = ended.code if isinstance(ended.code, (int, type(None))) else 1
    return printed(stdout.getvalue(), exit_code or 0)


def main():
    sys.set_int_max_str_digits(0) if hasattr(sys, "set_int_max_str_digits") else None
    with open("order.json", encoding="utf-8") as file:
        order = json.load(file)
    os.unlink("order.json")
    verdicts = os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    nonce = order.pop("nonce")
    try:
        accepted, why = judge(order, io.StringIO())
        verdict = "accept" if accepted else "reject"
    except Broken as error:
        verdict, why = "broken", str(error)
    except BaseException as error:
        verdict, why = "reject", f"ends with {type(error).__name__}: {error}"
    line = f"{nonce} {verdict} " + " ".join(why.split())[:300]
    os.write(verdicts, line.encode("utf-8", "replace") + b"\n")
    os._exit(0)


main()
