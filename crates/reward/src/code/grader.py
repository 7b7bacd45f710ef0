"""The judge of assert lines. It runs apart from the program that it judges (candidate.py).

What crosses between the two processes is plain data of exact builtin types, so that nothing that the program
defines, an `__eq__`, an `abs` of its own, a changed `assert`, ever runs here. A verdict is a line on standard output
that begins with a nonce; the program has neither that stream nor the nonce. All it can do is answer, and answers
are compared here.
"""

import ast
import builtins
import importlib.util
import json
import os
import subprocess
import sys

MAX_LINE = 1 << 24  # bytes of an answer


class Broken(Exception):
    """The test itself cannot be judged."""


class Gone(Exception):
    """The program has ended, or no longer makes sense."""


class Candidate:
    """The other process: requests out and answers in, JSON lines on pipes of their own."""

    def __init__(self, python, server):
        requests, self.requests = os.pipe()
        self.answers, answers = os.pipe()
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            [python, "-s", "-B", "-c", server, str(requests), str(answers)],
            stdin=quiet, stdout=quiet, stderr=quiet, pass_fds=(requests, answers))
        os.close(requests)
        os.close(answers)
        self.answers = os.fdopen(self.answers, "rb")

    def ask(self, **request):
        """The answer's value; raises what the request raised there."""
        try:
            line = json.dumps(request).encode() + b"\n"
            while line:
                line = line[os.write(self.requests, line):]
            line = self.answers.readline(MAX_LINE)
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise Gone("the program ended" if len(line) < MAX_LINE else "the program's answer is too long")
        try:
            answer = json.loads(line)
            error = answer.get("error")
            value = None if error else self.decode(answer["value"])
            args = [self.decode(arg) for arg in answer.get("args", [])]
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            raise Gone("the program's answer is no answer") from None
        return args, value, error, str(answer.get("message", ""))

    def call(self, target, args, kwargs):
        sent = [encode(arg) for arg in args]
        named = {key: encode(arg) for key, arg in kwargs.items()}
        returned, value, error, message = self.ask(op="call", target=target, args=sent, kwargs=named)
        for here, there in zip(args, returned):
            copy_back(there, here)
        return outcome(value, error, message)

    def get(self, op, target, **request):
        _, value, error, message = self.ask(op=op, target=target, **request)
        return outcome(value, error, message)

    def decode(self, value):
        if value is None or type(value) in (bool, int, float, str):
            return value
        kind, content = value
        if kind == "handle":
            return Handle(self, int(content))
        if kind == "dict":
            return {self.decode(key): self.decode(item) for key, item in content}
        if kind in ("list", "tuple", "set", "frozenset"):
            return getattr(builtins, kind)(self.decode(item) for item in content)
        if kind in ("bytes", "bytearray"):
            return getattr(builtins, kind).fromhex(content)
        return {"int": lambda digits: int(digits, 16), "complex": lambda parts: complex(*parts)}[kind](content)


def outcome(value, error, message):
    """The value, or the exception: of the builtin type of that name, so that a test can expect it."""
    if error is None:
        return value
    kind = getattr(builtins, str(error), None)
    is_exception = isinstance(kind, type) and issubclass(kind, Exception)
    try:
        raised = kind(message) if is_exception else Exception(f"{error}: {message}")
    except TypeError:  # UnicodeDecodeError and its like want more
        raised = Exception(f"{error}: {message}")
    raise raised


def copy_back(there, here):
    """What the program did to its copy of an argument is done to the test's own."""
    if type(here) is type(there) and type(here) in (bytearray, dict, list, set):
        here.clear()
        getattr(here, "extend" if type(here) in (bytearray, list) else "update")(there)


def encode(value):
    kind = type(value)
    if value is None or kind in (bool, float, str):
        return value
    if kind is int:
        return value if abs(value) < 1 << 60 else ["int", hex(value)]
    if kind in (list, tuple, set, frozenset):
        return [kind.__name__, [encode(item) for item in value]]
    if kind is dict:
        return ["dict", [[encode(key), encode(item)] for key, item in value.items()]]
    if kind in (bytes, bytearray):
        return [kind.__name__, value.hex()]
    if kind is complex:
        return ["complex", [value.real, value.imag]]
    if kind is Handle:
        return ["handle", value._id]
    raise Broken(f"the test hands over a {kind.__name__}, which cannot cross to the program")


class Handle:
    """Something of the program's that is no plain data. Equal to nothing but itself."""

    def __init__(self, candidate, target):
        self._candidate, self._id = candidate, target

    def __call__(self, *args, **kwargs):
        return self._candidate.call(self._id, args, kwargs)

    def __getattr__(self, name):
        return self._candidate.get("get", self._id, name=name)

    def __getitem__(self, key):
        return self._candidate.get("item", self._id, key=encode(key))

    def __len__(self):
        size = self._candidate.get("len", self._id)
        if type(size) is not int:
            raise Gone("the program's answer is no answer")
        return size

    def __bool__(self):
        return self._candidate.get("bool", self._id) is True

    def __iter__(self):
        iterator = self._candidate.get("iter", self._id)
        while True:
            step = self._candidate.get("next", getattr(iterator, "_id", None))
            if type(step) is not tuple or len(step) > 1:
                raise Gone("the program's answer is no answer")
            if not step:
                return
            yield step[0]


def names_of(source):
    """The names that a test uses."""
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


def namespace(candidate, order):
    """What the tests' names mean: the program's objects, but for builtins and modules, which are the real ones."""
    space = {"__name__": "__tests__"}
    entry = order["entry_point"]
    defined = candidate.get("names", None)
    if type(defined) is not dict:
        raise Gone("the program's answer is no answer")
    for name in set().union(*(names_of(source) for source in order["tests"] + [order["setup"]])):
        is_builtin = hasattr(builtins, name) and name != entry
        if is_builtin or name not in defined:
            continue
        module = defined[name]
        if module is None:
            space[name] = candidate.get("global", None, name=name)
        elif type(module) is str and importlib.util.find_spec(module.split(".")[0]):
            __import__(module)
            space[name] = sys.modules[module]
    return space


def judge(candidate, order, say):
    try:
        setup = compile(order["setup"], "<setup>", "exec")
        tests = [compile(test, "<test>", "exec") for test in order["tests"]]
    except (SyntaxError, ValueError) as error:
        return say("all", "broken", f"the test does not compile: {error}")
    try:
        space = namespace(candidate, order)
        exec(setup, space)
    except Broken as error:
        return say("all", "broken", str(error))
    except BaseException as error:
        return say("all", "fail", describe(error))
    for index, test in enumerate(tests):
        try:
            exec(test, space)
        except Broken as error:
            say(index, "broken", str(error))
        except BaseException as error:
            say(index, "fail", describe(error))
        else:
            say(index, "pass", "")


def describe(error):
    return f"{type(error).__name__}: {error}"[:300]


def main():
    sys.set_int_max_str_digits(0) if hasattr(sys, "set_int_max_str_digits") else None
    order = json.load(sys.stdin)
    verdicts = os.dup(1)
    os.dup2(2, 1)  # what a test prints is no verdict

    def say(index, verdict, why):
        line = " ".join([order["nonce"], str(index), verdict, json.dumps(why)])
        os.write(verdicts, line.encode() + b"\n")

    judge(Candidate(order["python"], order["server"]), order, say)
    os._exit(0)


main()
