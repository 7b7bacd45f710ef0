"""What stands for the program in the judge: the channel, the values that cross it, and handles of what stays there.

What crosses is plain data of exact builtin and standard types, rebuilt here, so that nothing that the program
defines, an `__eq__`, an `abs` of its own, a changed `assert`, ever runs here.
"""

import builtins
import json
import os
import types

MAX_LINE = 1 << 24  # bytes of an answer
MAX_ITEMS = 100_000  # of an iterator that a test hands over
MUTABLE = (bytearray, dict, list, set)

# What reading nonsense raises.
NO_ANSWER = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)

# Exceptions that Python's own loops act on: raised by the program they are errors like any other.
CONTROL = ("GeneratorExit", "KeyboardInterrupt", "StopAsyncIteration", "StopIteration", "SystemExit")

# Predicates of texts, sets and numbers: of an object that a function made up they are no answer.
PREDICATES = {name for kind in (str, set, float) for name in dir(kind) if name.startswith("is")} | {
    "startswith", "endswith"}

# Builtin types that the program may name.
TYPES = {kind.__name__: kind for kind in (
    bool, bytearray, bytes, complex, dict, float, frozenset, int, list, object, set, str, tuple, type,
    type(None))}


class Gone(BaseException):
    """The program has ended, or no longer makes sense. No `except Exception` of a test catches it."""


class Refused(BaseException):
    """A test asks of the program what only the judge may decide, or hands over what cannot cross."""


class Record(tuple):
    """A named tuple of the program's: its items are a tuple, its names are looked up."""

    fields, handle = (), None

    def __getattr__(self, name):
        return self[self.fields.index(name)] if name in self.fields else getattr(self.handle, name)


def standard(name, content):
    """A value of the standard library from plain parts."""
    import collections
    import datetime
    import decimal
    import fractions

    module, kind = name.split(".")
    if module == "datetime" and kind in ("date", "datetime", "time"):
        return getattr(datetime, kind).fromisoformat(*content)
    if name == "builtins.type":
        return TYPES[content[0]]
    if name == "collections.Counter":
        return collections.Counter(dict(content))
    return {
        "builtins.range": lambda: range(*content), "collections.deque": lambda: collections.deque(content),
        "collections.OrderedDict": lambda: collections.OrderedDict(content),
        "datetime.timedelta": lambda: datetime.timedelta(*content),
        "decimal.Decimal": lambda: decimal.Decimal(content[0]),
        "fractions.Fraction": lambda: fractions.Fraction(*content),
    }[name]()


class Candidate:
    """The other job: requests out and answers in, JSON lines on the channel."""

    def __init__(self, channel):
        self.channel = channel
        self.answers = os.fdopen(channel, "rb", closefd=False)
        self.space = {}  # the tests' names
        self.errors = {}  # expressions for what tests catch, by the last name
        self.variables = {}  # the program's global variables that are plain data
        self.callbacks = []  # functions of the tests' that the program was given
        self.changed = []  # arguments, what the program made of its copies, and what the call returned
        self.aliases = []  # parts of the program's objects in this statement, with their numbers and content
        self.broken = None  # why no further test can pass, or this one cannot
        self.raises = set()  # the tests' `raise` statements, by file and line
        self.reached = False  # whether the test has checked something

    def give_up(self, kind, why):
        self.broken = self.broken or kind(why)
        raise self.broken

    def refuse(self, why):
        self.give_up(Refused, why)

    def mark(self, value):
        self.reached = True
        return value

    def send(self, message):
        line = json.dumps(message).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self.channel, line):]
        except OSError:
            self.give_up(Gone, "the program ended")

    def receive(self):
        """The next answer; functions of the tests' are called in between."""
        while True:
            try:
                line = self.answers.readline(MAX_LINE)
            except (MemoryError, OSError):
                line = b""
            if not line.endswith(b"\n"):
                self.give_up(Gone, "the program ended" if len(line) < MAX_LINE else "its answer is too long")
            try:
                answer = json.loads(line)
                if type(answer.get("printed")) is str:
                    sys.stdout.write(answer["printed"])
                if "callback" not in answer:
                    return answer
                function = self.callbacks[answer["callback"]]
                args = [self.decode(arg) for arg in answer["args"]]
                kwargs = {key: self.decode(arg) for key, arg in answer["kwargs"].items()}
            except NO_ANSWER:
                self.give_up(Gone, "its answer is no answer")
            try:
                message = {"returned": self.encode(function(*args, **kwargs))}
            except Exception as error:
                message = {"returned": None, "error": type(error).__name__, "message": str(error)[:300]}
            self.send(message)

    def ask(self, made=False, **request):
        """The answer's value, with handles in it of the test's making or not; raises what the request raised."""
        if self.broken:
            raise self.broken
        self.send(request)
        value, returned, changed = self.value(made)
        return (value, returned, changed) if request["op"] == "call" else value

    def value(self, made=False):
        """The next answer's value, and what became of arguments; raises what the answer names."""
        answer = self.receive()
        try:
            if "error" in answer:
                raised = self.exception(answer)
            else:
                raised, value = None, self.decode(answer["value"], Own if made else Handle)
                if type(answer.get("alias")) is int and type(value) in MUTABLE:
                    self.aliases.append((value, answer["alias"], json.dumps(self.encode(value))))
                returned = answer.get("args")
                changed = returned and [self.decode(arg) for arg in returned]
        except NO_ANSWER:
            self.give_up(Gone, "its answer is no answer")
        if raised is not None:
            raise raised
        return value, returned, changed

    def exception(self, answer):
        """What stands here for an error there: of the builtin type of that name, and of those that the tests catch."""
        args, message = answer["args"], str(answer["message"])
        if not all(type(arg) in (bool, float, int, str) for arg in args):
            args = [message]
        caught, builtin = [], Exception
        for origin, name in answer["error"]:
            if origin == "builtin":
                if name not in CONTROL:
                    builtin = getattr(builtins, name)
                    break
            elif name in self.errors:
                kind = self.caught(name)
                if kind and (kind.__module__ == "__tests__") == (origin == "own"):
                    caught.append(kind)
        if not issubclass(builtin, Exception):
            raise TypeError
        bases = caught + [builtin] * (not any(issubclass(kind, builtin) for kind in caught))
        if caught:
            bases = [type(caught[0].__name__, tuple(bases), {"__str__": lambda self: message})]
        try:
            raised = bases[0](*args)
        except TypeError:  # UnicodeDecodeError and its like want more
            raised = bases[0].__new__(bases[0], *args)
        for name, value in answer["attributes"].items():
            if name.isidentifier() and not name.startswith("_") and not hasattr(raised, name):
                setattr(raised, name, self.decode(value))
        return raised

    def caught(self, name):
        """The exception that a test means by an expression of its own."""
        for expression in self.errors[name]:
            try:
                kind = eval(expression, self.space)
            except Exception:
                continue
            if isinstance(kind, type) and issubclass(kind, Exception):
                return kind
        return None

    def may_swallow(self, error, trace):
        """Whether a test raised this itself, by a statement that is no assertion."""
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = trace and (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        return place in self.raises and not isinstance(error, AssertionError)

    def call(self, target, args, kwargs, made):
        sent = [self.encode(arg) for arg in args]
        named = {key: self.encode(arg) for key, arg in kwargs.items()}
        value, returned, changed = self.ask(made, op="call", target=target, args=sent, kwargs=named)
        for here, before, after, there in zip(args, sent, returned or (), changed or ()):
            if type(here) in MUTABLE and type(there) is type(here):
                if json.dumps(before) != json.dumps(after):
                    self.changed.append((here, there, value))
        return value

    def settle(self, is_used=True):
        """After a statement, what the program did to its copies of arguments is done to the test's own.

        Not where the statement uses a container that the call returned: what is then compared with the argument
        (`r = f(x)`, `assert r == sorted(x)`) is to be what the test handed over.
        """
        for here, there, value in self.changed:
            if is_used and isinstance(value, (bytes, bytearray, dict, frozenset, list, set, str, tuple)):
                continue
            refill(here, there)
        self.changed.clear()
        aliases, self.aliases = self.aliases, []
        for here, target, before in aliases:
            if json.dumps(self.encode(here)) != before:
                self.operate("assign", Handle(self, target), here)
        for name in [name for name, value in self.variables.items() if self.space.get(name) is not value]:
            del self.variables[name]  # it is the test's own by now
        if self.variables:
            found = self.ask(op="globals", names=list(self.variables))
            for name in self.variables.keys() & (found if type(found) is dict else {}):
                here, there = self.variables[name], found[name]
                if type(here) in MUTABLE and type(there) is type(here):
                    refill(here, there)
                elif not isinstance(there, Handle):
                    self.space[name] = self.variables[name] = there

    def operate(self, name, *operands, made=False):
        operands = [self.encode(operand) for operand in operands]
        return self.ask(made, op="operate", name=name, operands=operands)

    def decode(self, value, kind_of_handle=None):
        if value is None or type(value) in (bool, int, float, str):
            return value
        kind, content = value
        if kind == "handle":
            return (kind_of_handle or Handle)(self, int(content))
        if kind == "int":
            return int(content, 16)
        if kind in ("bytes", "bytearray"):
            return TYPES[kind].fromhex(content)
        if kind == "complex":
            return complex(*content)
        if kind == "dict":
            pairs = [[self.decode(part, kind_of_handle) for part in pair] for pair in content]
            return {key: item for key, item in pairs}
        if kind == "record":
            record = Record(self.decode(item, kind_of_handle) for item in content[1])
            record.fields = tuple(map(str, content[0]))
            record.handle = (kind_of_handle or Handle)(self, int(content[2]))
            return record
        items = [self.decode(item, kind_of_handle) for item in content]
        return TYPES[kind](items) if kind in ("list", "tuple", "set", "frozenset") else standard(kind, items)

    def encode(self, value):
        kind = type(value)
        if value is None or kind in (bool, float, str):
            return value
        if kind is int:
            return value if abs(value) < 1 << 60 else ["int", hex(value)]
        if kind in (list, tuple, set, frozenset):
            return [kind.__name__, [self.encode(item) for item in value]]
        if kind is dict:
            return ["dict", [[self.encode(key), self.encode(item)] for key, item in value.items()]]
        if kind in (bytes, bytearray):
            return [kind.__name__, value.hex()]
        if kind is complex:
            return ["complex", [value.real, value.imag]]
        if kind is Record:
            return ["handle", number(value.handle)]
        if issubclass(kind, Handle):
            return ["handle", number(value)]
        if kind is types.FunctionType and value.__code__.co_filename.startswith("<test"):
            self.callbacks.append(value)
            return ["callback", len(self.callbacks) - 1]
        return self.encode_other(value)

    def encode_other(self, value):
        """Functions and values of the standard library by name and parts; iterators by their items."""
        import io
        import itertools
        import pickle

        class Pickler(pickle.Pickler):
            def persistent_id(self, item):
                return number(item) if isinstance(item, Handle) else None

        data = io.BytesIO()
        try:
            Pickler(data, 4).dump(value)
            return ["pickle", data.getvalue().hex()]
        except Exception:
            if hasattr(type(value), "__iter__"):
                items = list(itertools.islice(value, MAX_ITEMS + 1))
                if len(items) <= MAX_ITEMS:
                    return ["iter", [self.encode(item) for item in items]]
        self.give_up(Refused, f"the test hands over a {type(value).__name__}, which cannot cross")


def same(left, right):
    """What `is` means for handles."""
    if issubclass(type(left), Handle) and issubclass(type(right), Handle):
        return number(left) == number(right)
    return left is right


def refill(here, there):
    here.clear()
    getattr(here, "extend" if type(here) in (bytearray, list) else "update")(there)


def number(handle):
    return object.__getattribute__(handle, "_Handle__number")


class Handle:
    """Something of the program's that is no plain data, and that a test did not make.

    A test can call it, look into it and iterate over it. It has no length, and its truth, members and comparisons
    are refused: a function that returns an object of its own has returned no value.
    """

    __slots__ = ("__candidate", "__number")

    MADE = False  # whether what comes of it is of the test's making

    def __init__(self, candidate, number):
        object.__setattr__(self, "_Handle__candidate", candidate)
        object.__setattr__(self, "_Handle__number", number)

    def __call__(self, *args, **kwargs):
        return self.__candidate.call(self.__number, args, kwargs, self.MADE)

    def _operate(self, name, *operands):
        return self.__candidate.operate(name, *operands, made=self.MADE)

    def _plain(self, name, kind):
        value = self._operate(name, self)
        return value if type(value) is kind else self.__candidate.give_up(Gone, "its answer is no answer")

    def _refuse(self, what):
        self.__candidate.give_up(Refused, f"an object of the program's own is no value, it has no {what}")

    def __getattr__(self, name):
        if not self.MADE and name in PREDICATES:
            return self._refuse(name)
        return self._operate("getattr", self, name)

    def __setattr__(self, name, value):
        self._operate("setattr", self, name, value)

    def __delattr__(self, name):
        self._operate("delattr", self, name)

    def __getitem__(self, key):
        return self._operate("getitem", self, key)

    def __setitem__(self, key, value):
        self._operate("setitem", self, key, value)

    def __delitem__(self, key):
        self._operate("delitem", self, key)

    def __iter__(self):
        iterator = self._operate("iter", self)
        while True:
            step = self._operate("next", iterator)
            if type(step) is not tuple or len(step) > 1:
                self.__candidate.give_up(Gone, "its answer is no answer")
            if not step:
                return
            yield step[0]

    def __next__(self):
        step = self._operate("next", self)
        if type(step) is not tuple or len(step) > 1:
            self.__candidate.give_up(Gone, "its answer is no answer")
        if not step:
            raise StopIteration
        return step[0]

    def __str__(self):
        return self._plain("str", str)

    def __repr__(self):
        return self._plain("repr", str)

    def __hash__(self):
        return hash(self.__number)

    def __copy__(self):
        return self._operate("copy", self)

    def __deepcopy__(self, memo):
        return self._operate("deepcopy", self)

    def __instancecheck__(self, other):
        return isinstance(other, Handle) and self._operate("isinstance", other, self) is True

    def __subclasscheck__(self, other):
        return isinstance(other, Handle) and self._operate("issubclass", other, self) is True

    def __enter__(self):
        return self._operate("enter", self)

    def __exit__(self, kind, error, trace):
        """The program may swallow what the test itself raises, by a statement, and nothing else."""
        names = [base.__name__ for base in getattr(kind, "__mro__", ()) if hasattr(builtins, base.__name__)]
        swallowed = self._operate("exit", self, names[0] if names else None, str(error)) is True
        return swallowed and self.__candidate.may_swallow(error, trace)

    def __bool__(self):
        return self._refuse("truth")

    def __contains__(self, item):
        return self._refuse("members")

    def _compare(self, how, other):
        if isinstance(other, Handle):
            if number(other) == self.__number and how in ("eq", "ne"):
                return how == "eq"
            if self.MADE or other.MADE:
                # An object that a function made up is compared with its kind only.
                alike = not (self.MADE and other.MADE)
                return self._operate("compare", how, self, other, alike) is True
        elif other is None and how in ("eq", "ne"):
            return how == "ne"
        return self._refuse("comparison with values")


for how in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Handle, f"__{how}__", lambda self, other, how=how: self._compare(how, other))


class Own(Handle):
    """An object of a class of the program's that is itself under test: the test made it, or what comes of it."""

    __slots__ = ()

    MADE = True

    def __bool__(self):
        return self._plain("bool", bool)

    def __len__(self):
        return self._plain("len", int)

    def __contains__(self, item):
        return self._operate("contains", self, item) is True

    __hash__ = Handle.__hash__


for name in (
        "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift",
        "rshift"):
    there = name + "_" * (name in ("and", "or"))
    setattr(Own, f"__{name}__", lambda self, other, there=there: self._operate(there, self, other))
    setattr(Own, f"__r{name}__", lambda self, other, there=there: self._operate(there, other, self))
    setattr(Own, f"__i{name}__", lambda self, other, there=f"i{name}": self._operate(there, self, other))
for name in ("neg", "pos", "abs", "invert", "int", "float", "round", "index", "reversed"):
    setattr(Own, f"__{name}__", lambda self, *rest, name=name: self._operate(name, self, *rest))
