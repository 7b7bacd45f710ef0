"""What the names in a task's tests mean, decided from the tests' text alone, before any request to the program.

A name is, in this order: the entry point, which is the program's; a builtin; what the test imports or defines; a
module or class of the standard library that tests use without importing it; a helper function of the task's prompt;
else the program's.
"""

import builtins
import re

# Modules that tests use without importing them; importing one has no effect.
MODULES = {name: name for name in (
    "array", "base64", "binascii", "bisect", "calendar", "cmath", "collections", "copy", "dataclasses",
    "datetime", "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "inspect", "io", "itertools",
    "json", "math", "numbers", "operator", "os", "queue", "random", "re", "statistics", "string", "struct",
    "sys", "textwrap", "time", "types", "typing", "unicodedata", "numpy", "pandas", "scipy", "sympy")}
MODULES.update(np="numpy", pd="pandas")

# The same for classes and functions, with their modules.
MEMBERS = {
    "ChainMap": "collections", "Counter": "collections", "OrderedDict": "collections",
    "defaultdict": "collections", "deque": "collections", "namedtuple": "collections", "Decimal": "decimal",
    "Fraction": "fractions", "date": "datetime", "datetime": "datetime", "timedelta": "datetime",
    "isclose": "math", "islice": "itertools"}


# Attributes of plain data.
OF_VALUES = set().union(*map(dir, (str, bytes, list, dict, set, tuple, int, float, complex)))


class Unjudgeable(Exception):
    """No program could be judged by these tests."""


class Text:
    """The tests of a task as one text that is read, not run."""

    def __init__(self, trees, entry, prompt, imported):
        self.entry, self.prompt = entry, prompt
        self.imported = imported  # names that the tests import from the program
        self.used, self.stored = set(), set()
        self.constants = set()  # texts that the tests write out
        self.caught = {}  # expressions for exceptions, by their last name
        self.members = {}  # attributes of what a name stands for, by that name
        self.attributes = {}  # attributes of what a name's call returns, by that name
        self.valued = set()  # names whose call is used as a plain value
        nodes = [node for tree in trees for node in ast.walk(tree)]
        bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
        bare = set()
        made = {}  # variables that hold what a name's call returned
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self.used.add(node.id)
                if id(node) not in bases:
                    bare.add(node.id)
            elif isinstance(node, ast.Name):
                self.stored.add(node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
                self.constants.add(node.value)
            elif isinstance(node, ast.Assign) and is_call_of_name(node.value):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        made.setdefault(target.id, set()).add(node.value.func.id)
            elif isinstance(node, ast.withitem) and is_call_of_name(node.context_expr):
                if isinstance(node.optional_vars, ast.Name):
                    made.setdefault(node.optional_vars.id, set()).add(node.context_expr.func.id)
            kinds = node.type if isinstance(node, ast.ExceptHandler) else raising(node)
            if kinds is not None:
                for kind in kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]:
                    if isinstance(kind, (ast.Name, ast.Attribute)):
                        name = kind.id if isinstance(kind, ast.Name) else kind.attr
                        self.caught.setdefault(name, []).append(kind)
            self.valued.update(call.func.id for call in valued(node) if is_call_of_name(call))
        self.modules = self.used - bare  # used for their attributes alone
        for node in nodes:
            if isinstance(node, ast.Attribute):
                if isinstance(node.value, ast.Name):
                    self.members.setdefault(node.value.id, set()).add(node.attr)
                names = made.get(node.value.id, ()) if isinstance(node.value, ast.Name) else ()
                if is_call_of_name(node.value):
                    names = {node.value.func.id}
                for name in names:
                    self.attributes.setdefault(name, set()).add(node.attr)

    def real(self, own):
        """Names that mean something of the standard library or of a package, with it."""
        found = {}
        for name in self.used - {self.entry} - self.imported:
            candidates = []
            if name in MODULES and name in self.modules and (name not in own or is_installed(MODULES[name])):
                candidates.append(imported(MODULES[name]))
            asked_for = rf"\b(class|def|function|named|called)\s+`?{name}\b"
            if name in MEMBERS and not re.search(asked_for, self.prompt):
                candidates.append(getattr(imported(MEMBERS[name]), name))
            for real in candidates:
                # What has other members is the program's own, of the same name.
                of_results = set() if name in self.modules else self.attributes.get(name, set())
                members = self.members.get(name, set()) | of_results
                if name not in found and all(hasattr(real, member) for member in members):
                    found[name] = real
        return found

    def programs(self, known):
        """Names that are the program's where it has them."""
        mine = {name for name in self.used if not hasattr(builtins, name) and not name.startswith("__")}
        asked = self.imported - (set(known) - set(dir(builtins)))
        return sorted((mine - set(known)) | ({self.entry} - {None}) | asked)

    def is_class(self, name):
        """Whether the task treats a name as a class under test: the prompt calls it one, or the tests use it or
        its objects as no function or plain value can be used, or it is spelt as a class and no call of it is used
        as a value.
        """
        spelt = name[:1].isupper() and "_" not in name
        return (
            bool(re.search(rf"\bclass\s+`?{re.escape(name)}\b", self.prompt))
            or bool((self.attributes.get(name, set()) | self.members.get(name, set())) - OF_VALUES)
            or (spelt and name != self.entry and name not in self.valued)
        )

    def errors(self, known):
        """Exceptions of the program's that the tests catch."""
        plain = [kind for kinds in self.caught.values() for kind in kinds if isinstance(kind, ast.Name)]
        names = {kind.id for kind in plain}
        return {name for name in names - set(known) if not hasattr(builtins, name)}


def valued(node):
    """The parts of a node that it takes as plain values: for their truth, beside a number, or beside what is not a
    call of the same name.
    """
    if isinstance(node, (ast.Assert, ast.If, ast.While, ast.IfExp)):
        return [node.test]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return [node.operand]
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        sides = [node.left, node.right]
        return sides if any(isinstance(side, ast.Constant) for side in sides) else []
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        called = [{part.func.id for part in ast.walk(side) if is_call_of_name(part)} for side in sides]
        common = set.intersection(*called)
        return [side for side in sides if is_call_of_name(side) and side.func.id not in common]
    return []


def raising(node):
    """What a call wants to be raised, as `pytest.raises` and `assertRaises` do."""
    if isinstance(node, ast.Call) and node.args:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return node.args[0] if name in ("raises", "assertRaises", "assertRaisesRegex") else None
    return None


def is_call_of_name(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def imported(module):
    if not is_installed(module):
        raise Unjudgeable(f"the tests use {module}, which is not installed here")
    return __import__(module)


def check_imports(trees):
    """What the tests import must be here, else no program passes them; the modules that they import."""
    found = set()
    for tree in trees:
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found.update(name.split(".")[0] for name in names)
            for name in names:
                # Elsewhere than at the top level a test may be prepared for its absence.
                if name != "pytest" and not is_installed(name.split(".")[0]) and node in tree.body:
                    raise Unjudgeable(f"the tests import {name}, which is not installed here")
    return found


def is_installed(module):
    if module in getattr(sys, "stdlib_module_names", sys.builtin_module_names):
        return True
    import importlib.util
    import site

    site.main()  # packages are looked for only where a test wants one: the interpreter starts sooner without
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
