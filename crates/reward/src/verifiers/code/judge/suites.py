"""Files of pytest and unittest: which of their functions are tests, what a test checks, and stand-ins for pytest.

Nothing here asks whether a test file is right. What these stand-ins cannot do is refused from the file's text alone,
before anything of the program is read.
"""

import types

# What a file of tests calls the program.
PROGRAMS = {
    "__main__", "answer", "candidate", "main", "my_code", "my_module", "my_solution", "prog", "program", "solution",
    "solutions", "student", "student_code", "student_solution", "submission", "your_code", "your_module",
    "your_solution"}
# What the stand-in for pytest has.
PYTEST = {"approx", "fail", "fixture", "main", "mark", "param", "raises", "skip", "importorskip"}
RAISING = {"raises", "assertRaises", "assertRaisesRegex"}
LEFT_OUT = re.compile("skip|xfail|expectedFailure")


class FromProgram(ast.NodeTransformer):
    """Takes imports of the program out of the tests: what they name is the program's."""

    def __init__(self):
        self.names, self.modules, self.is_star = set(), set(), False

    def visit_ImportFrom(self, node):
        if not (node.module in PROGRAMS and node.level < 2 or node.level == 1 and node.module is None):
            return node
        self.is_star = self.is_star or any(alias.name == "*" for alias in node.names)
        names = [alias for alias in node.names if alias.name != "*"]
        self.names |= {alias.name for alias in names}
        found = [
            ast.copy_location(ast.Assign([ast.Name(alias.asname, ast.Store())], ast.Name(alias.name, ast.Load())), node)
            for alias in names if alias.asname and alias.asname != alias.name]
        return found or ast.copy_location(ast.Pass(), node)

    def visit_Import(self, node):
        mine = [alias for alias in node.names if alias.name in PROGRAMS]
        self.modules |= {alias.asname or alias.name for alias in mine}
        node.names = [alias for alias in node.names if alias not in mine]
        return node if node.names else ast.copy_location(ast.Pass(), node)


class OfModule(ast.NodeTransformer):
    """`solution.f` is `f`, where the module itself is used for nothing else."""

    def __init__(self, found, bound):
        self.found, self.bound = found, bound

    def visit_Attribute(self, node):
        if not isinstance(node.value, ast.Name) or node.value.id not in self.found.modules:
            return self.generic_visit(node)
        if node.attr in self.bound or not isinstance(node.ctx, ast.Load):
            raise Unjudgeable(f"the tests change or shadow {node.attr} of the program's module")
        self.found.names.add(node.attr)
        return ast.copy_location(ast.Name(node.attr, ast.Load()), node)

    def visit_Name(self, node):
        if node.id in self.found.modules:
            raise Unjudgeable("the tests use the program's module as a value")
        return node


def of_program(trees):
    """The trees without imports of the program, and the names that they took from it."""
    found = FromProgram()
    trees = [found.visit(tree) for tree in trees]
    if found.modules:
        stored = {node.id for tree in trees for node in ast.walk(tree)
                  if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        trees = [OfModule(found, stored | bound(trees)).visit(tree) for tree in trees]
    return trees, found.names


def last_name(node):
    return getattr(node, "attr", getattr(node, "id", ""))


def is_assertion(node):
    """Whether a node is a check by itself."""
    if isinstance(node, ast.Call):
        name = last_name(node.func)
        return name.lower().startswith("assert") or name in RAISING or name == "fail"
    return isinstance(node, (ast.Assert, ast.Raise))


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def outside(tree):
    """Nodes that run with the statement, not when a function of it is called."""
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        yield node
        if not isinstance(node, FUNCTIONS):
            nodes.extend(ast.iter_child_nodes(node))


class Checks:
    """Which statements check something, by themselves or by functions of the tests' that they use."""

    def __init__(self, trees):
        self.functions = {}
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef):
                    self.functions.setdefault(node.name, []).append(node)
        self.checking, more = set(), True
        while more:
            found = {name for name, nodes in self.functions.items()
                     if any(self.checks_inside(part) for node in nodes for part in node.body)}
            more, self.checking = found != self.checking, found

    def checks_inside(self, part):
        return any(self.is_check(node) for node in ast.walk(part))

    def checks(self, tree):
        return any(self.is_check(node) for node in outside(tree))

    def is_check(self, node):
        return is_assertion(node) or isinstance(node, (ast.Name, ast.Attribute)) and last_name(node) in self.checking


class Counted(ast.NodeTransformer):
    """Marks where a check is reached: a test of which none is has shown nothing."""

    def reached(self, node):
        return ast.copy_location(ast.Call(ast.Name("__reached__", ast.Load()), [node], []), node)

    def visit_Assert(self, node):
        self.generic_visit(node)
        node.test = ast.BoolOp(ast.And(), [self.reached(ast.Constant(True)), node.test])
        return node

    def visit_If(self, node):
        raising = any(isinstance(part, ast.Raise) or isinstance(part, ast.Call) and last_name(part.func) == "fail"
                      for statement in node.body + node.orelse for part in ast.walk(statement))
        self.generic_visit(node)
        if raising:
            node.test = ast.BoolOp(ast.And(), [self.reached(ast.Constant(True)), node.test])
        return node

    def visit_ExceptHandler(self, node):
        self.generic_visit(node)
        node.body.insert(0, ast.copy_location(ast.Expr(self.reached(ast.Constant(True))), node.body[0]))
        node.body[0].is_mark = True
        return node

    def visit_Call(self, node):
        self.generic_visit(node)
        if is_assertion(node):
            node.func = self.reached(node.func)
        return node


class Test:
    """A function or a method that is a test."""

    def __init__(self, tree, node, of_class=None, is_unittest=False):
        self.tree, self.node, self.of_class, self.is_unittest = tree, node, of_class, is_unittest


def tests_of(trees, entry):
    """The tests that files define and do not call themselves."""
    called = {node.id for tree in trees for node in outside(tree) if isinstance(node, ast.Name)}
    fixtures = {node.name for tree in trees for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef) and is_decorated(node, "fixture")}
    found = []
    cases = {"TestCase"}
    for index, tree in enumerate(trees):
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and is_test(node) and node.name not in called:
                found.append(Test(index, node))
            elif isinstance(node, ast.ClassDef):
                is_unittest = any(last_name(base) in cases for base in node.bases)
                cases |= {node.name} if is_unittest else set()
                if (is_unittest or node.name.startswith("Test")) and not left_out(node):
                    found += [Test(index, method, node.name, is_unittest) for method in node.body
                              if isinstance(method, ast.FunctionDef) and is_test(method)]
    for test in found:
        known = fixtures | parameters(test.node) | {"self", "cls", "capsys"} | ({"candidate"} if entry else set())
        arguments = test.node.args
        free = [argument.arg for argument in arguments.args[:len(arguments.args) - len(arguments.defaults)]]
        unknown = [name for name in free if name not in known]
        if unknown:
            raise Unjudgeable(f"the test {test.node.name} wants {unknown[0]}, which is not known here")
    return found


def is_test(node):
    return node.name.startswith("test") and not is_decorated(node, "fixture") and not left_out(node)


def is_decorated(node, name):
    return any(last_name(getattr(decorator, "func", decorator)) == name for decorator in node.decorator_list)


def left_out(node):
    """Skipped, or expected to fail."""
    names = [last_name(getattr(decorator, "func", decorator)) for decorator in node.decorator_list]
    return any(LEFT_OUT.match(name) for name in names)


def parameters(node):
    """Names that `parametrize` gives."""
    found = set()
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and last_name(decorator.func) == "parametrize" and decorator.args:
            for part in ast.walk(decorator.args[0]):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    found |= {name.strip() for name in part.value.split(",")}
    return found


def check_suites(trees):
    """Refuses what only a real run in one process could do."""
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)):
                raise Unjudgeable("the tests await what the program returns")
            if isinstance(node, ast.Attribute) and last_name(node.value) == "pytest" and node.attr not in PYTEST:
                raise Unjudgeable(f"the tests use pytest.{node.attr}, which is not known here")
            if isinstance(node, ast.Name) and node.id in (
                    "asyncio", "MagicMock", "Mock", "mocker", "monkeypatch", "multiprocessing", "subprocess"):
                raise Unjudgeable(f"the tests use {node.id}, which cannot cross to the program")
            name = last_name(node.func) if isinstance(node, ast.Call) else ""
            texts = [part.value for part in getattr(node, "args", ()) if isinstance(part, ast.Constant)] if name else []
            if name in ("patch", "setattr") and any(isinstance(text, str) and "." in text and text != "sys.stdout"
                                                    for text in texts):
                raise Unjudgeable(f"the tests replace {texts[0]}, which the program would not see")
            if name == "object" and last_name(getattr(node.func, "value", None)) == "patch":
                raise Unjudgeable("the tests replace an attribute, which the program would not see")
            if isinstance(node, ast.Attribute) and node.attr == "stdin" and last_name(node.value) == "sys":
                raise Unjudgeable("the tests write to the program's standard input")


def captures(trees):
    """Whether tests look at what is printed."""
    names = {last_name(node) for tree in trees for node in ast.walk(tree) if isinstance(node, (ast.Name, ast.Attribute))}
    names |= {node.arg for tree in trees for node in ast.walk(tree) if isinstance(node, ast.arg)}
    texts = {node.value for tree in trees for node in ast.walk(tree)
             if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return bool(names & {"redirect_stdout", "capsys", "stdout"}) or "sys.stdout" in texts


class Raises:
    """`pytest.raises` as a context, and what it caught."""

    def __init__(self, kinds, match=None):
        self.kinds, self.match, self.value, self.type = kinds, match, None, None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            raise AssertionError(f"did not raise {self.kinds}")
        if not issubclass(kind, self.kinds):
            return False
        self.value, self.type = error, kind
        if self.match is not None and not re.search(self.match, str(error)):
            raise AssertionError(f"raised {error!s:.100}, which does not match {self.match!r}")
        return True


def raises(kinds, *call, match=None, **named):
    context = Raises(kinds, match)
    if not call:
        return context
    with context:
        call[0](*call[1:], **named)
    return context


class approx:
    """A number, or numbers in a list, a tuple or a dict, within a tolerance."""

    def __init__(self, expected, rel=None, abs=None, nan_ok=False):
        self.expected, self.rel, self.abs, self.nan_ok = expected, rel, abs, nan_ok

    def near(self, found, expected):
        if isinstance(expected, dict):
            return isinstance(found, dict) and found.keys() == expected.keys() and all(
                self.near(found[key], expected[key]) for key in expected)
        if isinstance(expected, (list, tuple)):
            return isinstance(found, (list, tuple)) and len(found) == len(expected) and all(
                map(self.near, found, expected))
        if isinstance(found, Handle) or not isinstance(expected, (int, float, complex)) or isinstance(expected, bool):
            return found == expected
        if not isinstance(found, (int, float, complex)):
            try:
                found = float(found)
            except (TypeError, ValueError):
                return False
        if found == expected or self.nan_ok and found != found and expected != expected:
            return True
        tolerance = 1e-12 if self.abs is None else self.abs
        if self.rel is not None or self.abs is None:
            tolerance = max(tolerance, (1e-6 if self.rel is None else self.rel) * builtins.abs(expected))
        return builtins.abs(found - expected) <= tolerance and builtins.abs(expected) != float("inf")

    def __eq__(self, found):
        return self.near(found, self.expected)

    __hash__ = None


class Mark:
    """`pytest.mark`: the values of `parametrize` are kept with the function, other marks mean nothing."""

    def parametrize(self, names, values, **_):
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)

        def mark(function):
            function.__dict__.setdefault("parametrized", []).append((names, values))
            return function

        return mark

    def __getattr__(self, name):
        def mark(*args, **_):
            return args[0] if len(args) == 1 and callable(args[0]) else mark

        return mark


def fixture(*args, **_):
    def mark(function):
        function.is_fixture = True
        return function

    return mark(args[0]) if args and callable(args[0]) else mark


def refused(why="the test gives up"):
    raise AssertionError(why)


def stand_ins(modules):
    """Puts modules in place that tests import."""
    if "pytest" in modules:
        import importlib

        found = types.ModuleType("pytest")
        vars(found).update(
            approx=approx, fail=refused, fixture=fixture, main=lambda *args, **named: 0, mark=Mark(), raises=raises,
            param=lambda *values, **_: values if len(values) != 1 else values[0], skip=refused,
            importorskip=importlib.import_module)
        sys.modules["pytest"] = found
    if "unittest" in modules:
        import unittest

        def assert_equal(self, first, second, msg=None, *_, **__):
            if not first == second:
                self.fail(f"{first!r:.100} != {second!r:.100}")

        def assert_is(self, first, second, msg=None):
            if not same(first, second):
                self.fail(f"{first!r:.100} is not {second!r:.100}")

        def assert_is_not(self, first, second, msg=None):
            if same(first, second):
                self.fail(f"{first!r:.100} is {second!r:.100}")

        def typed(kind):
            def assert_typed(self, first, second, msg=None, *_, **__):
                if not isinstance(first, kind) or not isinstance(second, kind) or not first == second:
                    self.fail(f"{first!r:.100} != {second!r:.100}")
            return assert_typed

        # The real ones write out a difference, which takes the square of what the program returned.
        case = unittest.TestCase
        case.assertEqual, case.assertIs, case.assertIsNot = assert_equal, assert_is, assert_is_not
        case.assertListEqual, case.assertTupleEqual = typed(list), typed(tuple)
        case.assertDictEqual, case.assertSetEqual = typed(dict), typed((set, frozenset))
        case.assertMultiLineEqual, case.assertSequenceEqual = typed(str), typed((list, tuple, str))
        unittest.main = lambda *args, **named: None


class Suite:
    """Runs the tests that a file defines, in the tests' own names."""

    def __init__(self, space, entry):
        self.space, self.entry = space, entry
        self.set_up = set()  # modules and classes

    def run(self, test):
        self.once("module", self.space, ("setup_module", "setUpModule"))
        if test.of_class is None:
            function = self.space[test.node.name]
            for named in cases(function):
                self.call_all(self.space, ("setup_function",))
                self.with_fixtures(function, named, None)
                self.call_all(self.space, ("teardown_function",))
            return
        kind = self.space[test.of_class]
        self.once(kind, {name: getattr(kind, name, None) for name in ("setUpClass", "setup_class")},
                  ("setUpClass", "setup_class"))
        for named in cases(getattr(kind, test.node.name)):
            instance = kind(test.node.name) if test.is_unittest else kind()
            names = {name: getattr(instance, name, None)
                     for name in ("setUp", "setup_method", "tearDown", "teardown_method", "doCleanups")}
            self.call_all(names, ("setUp", "setup_method"))
            self.with_fixtures(getattr(instance, test.node.name), named, instance)
            self.call_all(names, ("tearDown", "teardown_method", "doCleanups"))

    def once(self, key, names, wanted):
        if key not in self.set_up:
            self.set_up.add(key)
            self.call_all(names, wanted)

    def call_all(self, names, wanted):
        for function in map(names.get, wanted):
            if function is not None:
                code = getattr(function, "__func__", function).__code__
                taken = code.co_argcount - hasattr(function, "__self__")
                function(*[None] * taken)

    def with_fixtures(self, function, named, instance):
        opened = []
        try:
            self.call(function, named, instance, opened)
        finally:
            for step in reversed(opened):
                next(step, None)

    def call(self, function, named, instance, opened):
        """Calls it with what its parameters name: given values, fixtures, the entry point."""
        code = getattr(function, "__func__", function).__code__
        names = code.co_varnames[hasattr(function, "__self__"):code.co_argcount]
        named = {name: value for name, value in named.items() if name in names}
        for name in names:
            found = getattr(instance, name, None) or self.space.get(name)
            if name in named:
                continue
            if name == "capsys":
                named[name] = Capsys(opened)
            elif getattr(found, "is_fixture", False):
                value = self.call(found, {}, instance, opened)
                if isinstance(value, types.GeneratorType):
                    opened.append(value)
                    value = next(value)
                named[name] = value
            elif name == "candidate" and self.entry:
                named[name] = eval(self.entry, self.space)
        return function(**named)


class Capsys:
    """What is printed since the last look."""

    def __init__(self, opened):
        import io

        self.io, self.outer, sys.stdout = io, sys.stdout, io.StringIO()
        opened.append(self.closing())

    def closing(self):
        sys.stdout = self.outer
        yield

    def readouterr(self):
        text, sys.stdout = sys.stdout.getvalue(), self.io.StringIO()
        return types.SimpleNamespace(out=text, err="")


def cases(function):
    """The values of each run of a test."""
    found = [{}]
    for names, values in getattr(function, "parametrized", ()):
        rows = [value if len(names) > 1 else (value,) for value in values]
        found = [{**case, **dict(zip(names, row))} for case in found for row in rows]
    return found
