"""What the names in a task's tests mean, decided from the tests' text alone, before the program is asked anything.

A name is, in this order: the entry point, which is the program's; a builtin; what the test imports or defines; a
module or class of the standard library that tests use without importing it; a helper function of the task's prompt;
else the program's.
"""

import ast
import builtins
import re
import sys

# Modules that tests use without importing them; importing one has no effect.
MODULES = {name: name for name in (
    "array", "base64", "binascii", "bisect", "calendar", "cmath", "collections", "copy", "dataclasses", "datetime",
    "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "inspect", "io", "itertools", "json", "math",
    "numbers", "operator", "os", "queue", "random", "re", "statistics", "string", "struct", "sys", "textwrap", "time",
    "types", "typing", "unicodedata", "numpy", "pandas", "scipy", "sympy")}
MODULES.update(np="numpy", pd="pandas")

# The same for classes and functions, with their modules.
MEMBERS = {
    "ChainMap": "collections", "Counter": "collections", "OrderedDict": "collections", "defaultdict": "collections",
    "deque": "collections", "namedtuple": "collections", "Decimal": "decimal", "Fraction": "fractions",
    "date": "datetime", "datetime": "datetime", "isclose": "math", "islice": "itertools", "timedelta": "datetime"}


# Attributes of plain data.
OF_VALUES = set().union(*map(dir, (str, bytes, list, dict, set, tuple, int, float, complex)))


class Unjudgeable(Exception):
    """No program could be judged by these tests."""


class Text:
    """The tests of a task as one text that is read, not run."""

    def __init__(self, trees, entry, prompt):
        self.entry, self.prompt = entry, prompt
        self.used, self.modules, self.called, self.caught = set(), set(), set(), set()
        self.members = {}  # attributes of what a name stands for, by that name
        self.attributes = {}  # attributes of what a name's call returns, by that name
        self.compared = set()  # names that are called on both sides of a comparison
        nodes = [node for tree in trees for node in ast.walk(tree)]
        bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
        bare = set()
        made = {}  # variables that hold what a name's call returned
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self.used.add(node.id)
                if id(node) not in bases:
                    bare.add(node.id)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                self.called.add(node.func.id)
            elif isinstance(node, ast.Assign) and is_call_of_name(node.value):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        made.setdefault(target.id, set()).add(node.value.func.id)
            elif isinstance(node, ast.withitem) and is_call_of_name(node.context_expr):
                if isinstance(node.optional_vars, ast.Name):
                    made.setdefault(node.optional_vars.id, set()).add(node.context_expr.func.id)
            elif isinstance(node, ast.Compare):
                left, right = calls(node.left), set().union(*map(calls, node.comparators))
                self.compared |= left & right
            elif isinstance(node, ast.ExceptHandler) and node.type is not None:
                kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                self.caught.update(kind.id for kind in kinds if isinstance(kind, ast.Name))
        self.modules = self.used - bare
        for node in nodes:
            if isinstance(node, ast.Attribute):
                if isinstance(node.value, ast.Name):
                    self.members.setdefault(node.value.id, set()).add(node.attr)
                names = made.get(node.value.id, ()) if isinstance(node.value, ast.Name) else ()
                if is_call_of_name(node.value):
                    names = {node.value.func.id}
                for name in names:
                    self.attributes.setdefault(name, set()).add(node.attr)

    def real(self):
        """Names that mean something of the standard library or of a package, with it."""
        found = {}
        for name in self.used - {self.entry}:
            candidates = [imported(MODULES[name])] if name in MODULES and name in self.modules else []
            if name in MEMBERS and not re.search(rf"\b(class|def|function|named|called)\s+`?{name}\b", self.prompt):
                candidates.append(getattr(imported(MEMBERS[name]), name))
            for real in candidates:
                # What has other members is the program's own, of the same name.
                members = self.members.get(name, set()) | (set() if name in self.modules else self.attributes.get(name, set()))
                if name not in found and all(hasattr(real, member) for member in members):
                    found[name] = real
        return found

    def programs(self, known):
        """Names that are the program's where it has them."""
        mine = {name for name in self.used if not hasattr(builtins, name) and not name.startswith("__")}
        return sorted((mine - set(known)) | ({self.entry} - {None}))

    def is_class(self, name):
        """Whether the task treats a name as a class under test: the prompt says that it is one, or the tests use it or
        its objects as no function or plain value can be used, or they compare its objects and it is spelt as a class.
        """
        spelt = name[:1].isupper() and "_" not in name
        return (
            bool(re.search(rf"\bclass\s+`?{re.escape(name)}\b", self.prompt))
            or bool((self.attributes.get(name, set()) | self.members.get(name, set())) - OF_VALUES)
            or (spelt and name in self.compared)
        )

    def errors(self, known):
        """Exceptions of the program's that the tests catch."""
        return {name for name in self.caught - set(known) if not hasattr(builtins, name)}


def calls(node):
    return {part.func.id for part in ast.walk(node) if is_call_of_name(part)}


def is_call_of_name(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def imported(module):
    try:
        return __import__(module)
    except ImportError:
        raise Unjudgeable(f"the tests use {module}, which is not installed here") from None


def check_imports(trees):
    """What the tests import must be here, else no program passes them."""
    for tree in trees:
        for node in tree.body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                if top not in sys.stdlib_module_names and not is_installed(top):
                    raise Unjudgeable(f"the tests import {top}, which is not installed here")


def is_installed(module):
    import importlib.util

    return importlib.util.find_spec(module) is not None


def bound(trees):
    """Names that the tests define or import at their top level."""
    found = set()
    for tree in trees:
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                found.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
    return found


def helpers(prompt, entry, wanted):
    """Functions of the prompt's own code that the tests use, such as the inverse of what is asked for.

    Only where the task names its entry point: elsewhere the prompt's functions may be those to be written or mended.
    What the prompt leaves to be written, a body of a text only, is no helper.
    """
    fences = re.findall(r"^```[^\n]*\n(.*?)^```", prompt, re.DOTALL | re.MULTILINE)
    for code in [prompt, *fences] if entry else []:
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        body = [node for node in tree.body if is_definition(node) and getattr(node, "name", None) != entry]
        if not wanted & {node.name for node in body if isinstance(node, ast.FunctionDef)}:
            continue
        space = {"__name__": "__prompt__"}
        try:
            exec(compile(ast.Module(body, []), "<prompt>", "exec"), space)
        except Exception:
            continue
        return {name: space[name] for name in wanted if isinstance(space.get(name), type(helpers))}
    return {}


def is_definition(node):
    if isinstance(node, ast.FunctionDef):
        body = [statement for statement in node.body if not isinstance(statement, (ast.Expr, ast.Pass))]
        return bool(body) and not node.decorator_list
    return isinstance(node, (ast.Import, ast.ImportFrom, ast.ClassDef)) or (
        isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant))
