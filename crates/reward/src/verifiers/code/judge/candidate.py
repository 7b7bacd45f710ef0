"""The program's side: runs `main.py` and does what the judge asks, as JSON lines on the channel that came as
standard input. Nothing that it writes is trusted.
"""

import builtins
import copy
import json
import operator
import os
import sys
import types

channel = os.dup(0)
null = os.open("/dev/null", os.O_RDWR)
for descriptor in (0, 1, 2):  # what the program prints is no answer
    os.dup2(null, descriptor)
sys.argv = ["main.py"]
objects, ids = {}, {}
program = types.ModuleType("solution")
lines = os.fdopen(channel, "rb", closefd=False)

# What they are called by is not what the program may have made of the names.
BUILTINS = {kind.__name__: kind for kind in (
    bool, delattr, float, getattr, int, isinstance, issubclass, iter, len, repr, reversed, round, setattr,
    str)}


# Names that annotations use, where the program does not import them: they change no result.
TYPING = (
    "Any", "Callable", "DefaultDict", "Deque", "Dict", "FrozenSet", "Generator", "Generic", "Iterable", "Iterator",
    "List", "Mapping", "NamedTuple", "Optional", "Sequence", "Set", "Tuple", "Type", "TypeVar", "Union")
# What LeetCode imports for its class `Solution`, by module.
LEETCODE = {
    "bisect": ("bisect", "bisect_left", "bisect_right", "insort"),
    "collections": ("Counter", "OrderedDict", "defaultdict", "deque"), "functools": ("cache", "lru_cache", "reduce"),
    "heapq": ("heapify", "heappop", "heappush", "heapreplace", "nlargest", "nsmallest"),
    "itertools": ("accumulate", "chain", "combinations", "pairwise", "permutations", "product"),
    "math": ("ceil", "comb", "floor", "gcd", "inf", "isqrt", "lcm", "sqrt"), "random": (), "re": (), "string": (),
    "operator": (), "sys": ()}
printed = None


def known(source):
    """The builtins, and names that the source uses as if they were."""
    found = dict(vars(builtins))
    if any(name in source for name in TYPING):
        import typing

        found.update((name, getattr(typing, name)) for name in TYPING)
    if "class Solution" in source:
        for module, names in LEETCODE.items():
            imported = __import__(module)
            found.setdefault(module, imported)
            found.update((name, getattr(imported, name)) for name in names if hasattr(imported, name))
    return found


def send(message):
    if printed is not None:
        message = {**message, "printed": printed.getvalue()}
        printed.seek(0)
        printed.truncate()
    line = json.dumps(message).encode() + b"\n"
    while line:
        line = line[os.write(channel, line):]


def handle(value):
    """A number for an object: always the same one."""
    number = ids.setdefault(id(value), len(objects))
    objects[number] = value
    return ["handle", number]


def parts(value):
    """Exact types of the standard library that are plain data, too."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name == "fractions.Fraction":
        return name, [encode(value.numerator), encode(value.denominator)]
    if name == "builtins.range":
        return name, [encode(value.start), encode(value.stop), encode(value.step)]
    if name == "decimal.Decimal":
        return name, [str(value)]
    if name in ("datetime.date", "datetime.datetime", "datetime.time"):
        return name, [value.isoformat()]
    if name == "datetime.timedelta":
        return name, [value.days, value.seconds, value.microseconds]
    if name == "collections.deque":
        return name, [encode(item) for item in value]
    if name in ("collections.Counter", "collections.OrderedDict"):
        return name, [encode(pair) for pair in value.items()]
    if name == "builtins.type" and value.__module__ == "builtins":
        return name, [value.__name__]
    return None


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
    standard = parts(value)
    if standard is not None:
        return list(standard)
    if isinstance(value, tuple) and isinstance(getattr(value, "_fields", None), tuple):
        return ["record", [list(map(str, value._fields)), [encode(item) for item in value], handle(value)[1]]]
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
    return handle(value)


def unpickle(data):
    import io
    import pickle

    unpickler = pickle.Unpickler(io.BytesIO(bytes.fromhex(data)))
    unpickler.persistent_load = objects.__getitem__
    return unpickler.load()


def decode(value):
    if not isinstance(value, list):
        return value
    kind, content = value
    if kind == "handle":
        return objects[content]
    if kind == "callback":
        return lambda *args, **kwargs: call_back(content, args, kwargs)
    if kind == "dict":
        return {decode(key): decode(item) for key, item in content}
    if kind in ("bytes", "bytearray"):
        return {"bytes": bytes, "bytearray": bytearray}[kind].fromhex(content)
    if kind == "int":
        return int(content, 16)
    if kind == "complex":
        return complex(*content)
    if kind == "pickle":
        return unpickle(content)
    kinds = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "iter": iter}
    return kinds[kind](map(decode, content))


def call_back(number, args, kwargs):
    """Calls a function of the test's; the judge may ask on before it returns."""
    named = {key: encode(arg) for key, arg in kwargs.items()}
    send({"callback": number, "args": [encode(arg) for arg in args], "kwargs": named})
    message = serve("returned")
    if "error" in message:
        raise getattr(builtins, message["error"], Exception)(message["message"])
    return decode(message["returned"])


def same_kind(left, right):
    return isinstance(left, type(right)) or isinstance(right, type(left))


def call(request):
    args = [decode(arg) for arg in request["args"]]
    result = objects[request["target"]](*args, **{key: decode(arg) for key, arg in request["kwargs"].items()})
    changed = [encode(arg) if type(arg) in (bytearray, dict, list, set) else None for arg in args]
    return {"value": encode(result), "args": changed}


def operate(request):
    name, operands = request["name"], [decode(operand) for operand in request["operands"]]
    if name == "compare":
        how, left, right, alike = operands
        return getattr(operator, how)(left, right) if not alike or same_kind(left, right) else how == "ne"
    if name == "exit":
        manager, error, message = operands
        error = error and getattr(builtins, error, Exception)(message)
        return bool(type(manager).__exit__(manager, type(error) if error else None, error, None))
    if name == "enter":
        return type(operands[0]).__enter__(operands[0])
    if name == "next":
        return tuple([item for _, item in zip("1", operands[0])])
    if name == "assign":
        target, content = operands
        target.clear()
        return getattr(target, "extend" if isinstance(target, (bytearray, list)) else "update")(content)
    if name in ("copy", "deepcopy"):
        return getattr(copy, name)(*operands)
    return (BUILTINS.get(name) or getattr(operator, name))(*operands)


def answer(request):
    if request["op"] == "globals":
        names = vars(program)
        found = [[name, encode(names[name])] for name in request["names"] if name in names]
        return {"value": ["dict", found]}
    if request["op"] == "call":
        return call(request)
    if request["op"] == "functions":
        owner = vars(program).get("Solution")
        names = vars(owner if isinstance(owner, type) else program).items()
        return {"value": [
            "list", [name for name, value in names if name[:1] != "_" and type(value) is types.FunctionType
                     and value.__globals__ is vars(program)]]}
    if request["op"] == "capture":
        global printed
        import io

        printed = sys.stdout = io.StringIO()
        return {"value": None}
    result = operate(request)
    # A container inside of an object: what a test does to its copy is done to it.
    is_part = request["name"] in ("getattr", "getitem") and type(result) in (bytearray, dict, list, set)
    return {"value": encode(result), **({"alias": handle(result)[1]} if is_part else {})}


def failed(error):
    kinds = [[origin(kind), kind.__name__] for kind in type(error).__mro__ if issubclass(kind, Exception)]
    args = [arg if type(arg) in (bool, float, int, str) else None for arg in error.args]
    try:
        attributes = {str(name): encode(value) for name, value in vars(error).items()}
    except Exception:
        attributes = {}
    return {"error": kinds, "message": str(error)[:300], "args": args, "attributes": attributes}


def origin(kind):
    """Whose an exception is: its name alone is not enough."""
    if getattr(builtins, kind.__name__, None) is kind:
        return "builtin"
    module = sys.modules.get(kind.__module__)
    return "own" if module is program or getattr(module, kind.__name__, None) is not kind else "standard"


def serve(until=None):
    """Answers requests, up to a message with this key."""
    for line in lines:
        message = json.loads(line)
        if until in message:
            return message
        try:
            reply = answer(message)
        except Exception as error:
            reply = failed(error)
        send(reply)
    os._exit(0)


send({"value": "hello"})
sys.modules["solution"] = program
try:
    with open("main.py", encoding="utf-8") as file:
        source = file.read()
    vars(program)["__builtins__"] = known(source)
    exec(compile(source, "main.py", "exec"), vars(program))
except Exception as error:
    ready = failed(error)
else:
    ready = {"value": "ready"}
send(ready)
serve()
