"""The program's side: runs `main.py` and does what the grader asks, as JSON lines. Nothing here is trusted."""

import json
import os
import sys
import types

requests, answers = (int(number) for number in sys.argv[1:3])
sys.argv = ["main.py"]
objects = {}
program = types.ModuleType("solution")
failure = None


def encode(value):
    for kind in (bool, int, float, str):
        if value is None or type(value) is kind and (kind is not int or abs(value) < 1 << 60):
            return value
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return encode(value.item())
    if isinstance(value, int):
        return ["int", hex(int.__add__(value, 0))] if abs(value) >= 1 << 60 else int.__add__(value, 0)
    if isinstance(value, float):
        return float.__add__(value, 0.0)
    if isinstance(value, str):
        return str.__str__(value)
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return [kind.__name__, [encode(item) for item in value]]
    if isinstance(value, dict):
        return ["dict", [[encode(key), encode(item)] for key, item in value.items()]]
    for kind in (bytes, bytearray):
        if isinstance(value, kind):
            return [kind.__name__, value.hex()]
    if isinstance(value, complex):
        return ["complex", [value.real, value.imag]]
    objects[len(objects)] = value
    return ["handle", len(objects) - 1]


def decode(value):
    if not isinstance(value, list):
        return value
    kind, content = value
    if kind == "handle":
        return objects[content]
    if kind == "dict":
        return {decode(key): decode(item) for key, item in content}
    if kind in ("bytes", "bytearray"):
        return {"bytes": bytes, "bytearray": bytearray}[kind].fromhex(content)
    if kind == "int":
        return int(content, 16)
    if kind == "complex":
        return complex(*content)
    return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](map(decode, content))


def answer(request):
    operation, target = request["op"], request["target"]
    if operation == "names":
        if failure is not None:
            raise failure
        is_module = types.ModuleType
        names = {k: v.__name__ if isinstance(v, is_module) else None for k, v in vars(program).items()}
        return {"value": encode(names)}
    if operation == "global":
        return {"value": encode(vars(program)[request["name"]])}
    subject = objects[target]
    if operation == "call":
        args = [decode(arg) for arg in request["args"]]
        result = subject(*args, **{key: decode(arg) for key, arg in request["kwargs"].items()})
        return {"value": encode(result), "args": [encode(arg) for arg in args]}
    if operation == "next":
        return {"value": encode(tuple([item for _, item in zip("1", subject)]))}
    values = {
        "get": lambda: getattr(subject, request["name"]),
        "item": lambda: subject[decode(request["key"])],
        "len": lambda: len(subject),
        "bool": lambda: bool(subject),
    }
    if operation == "iter":
        objects[len(objects)] = iter(subject)
        return {"value": ["handle", len(objects) - 1]}
    return {"value": encode(values[operation]())}


sys.modules["solution"] = program
try:
    with open("main.py", encoding="utf-8") as source:
        exec(compile(source.read(), "main.py", "exec"), vars(program))
except Exception as error:
    failure = error

for line in os.fdopen(requests, "rb"):
    try:
        reply = answer(json.loads(line))
    except Exception as error:
        reply = {"error": type(error).__name__, "message": str(error)[:300]}
    line = json.dumps(reply).encode() + b"\n"
    while line:
        line = line[os.write(answers, line):]
