"""The judge of assert lines: runs a task's tests where the program is not, and asks it through a channel.

It is a job of its own: no file, process or memory of the program's is here. The order is in its folder, the channel
is standard input, and a verdict is a line on standard output that begins with a nonce. What no program can change
(tests that do not compile, a package that is missing) is reported before the program is read; after that every ending
is the program's.

This file is the last of three that are run as one: names.py and handles.py come before it.
"""

import sys


# What an expression that the program returns may be made of.
PLAIN = (
    ast.Expression, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Call, ast.Constant, ast.List,
    ast.Tuple, ast.Dict, ast.Set, ast.Subscript, ast.Slice, ast.boolop, ast.operator, ast.unaryop, ast.cmpop,
    ast.expr_context)
PURE = {kind.__name__: kind for kind in (
    abs, bool, divmod, float, int, len, list, max, min, pow, range, round, sorted, str, sum, tuple)}


class Settling(ast.NodeTransformer):
    """Puts the settling of arguments behind every statement and in front of every block."""

    def __init__(self, tree):
        # Variables that the test compares with what it writes out: what a call does to them is under test.
        self.checked = {
            side.id for node in ast.walk(tree) if isinstance(node, ast.Compare)
            for side in [node.left, *node.comparators] if isinstance(side, ast.Name)
            if any(is_literal(other) for other in [node.left, *node.comparators])}

    def visit_block(self, statements):
        settled = [settle(True)] if statements else []
        for statement in statements:
            is_used = not isinstance(statement, ast.Expr) and not self.hands_over_checked(statement)
            settled += [self.visit(statement), settle(is_used)]
        return settled

    def visit_Compare(self, node):
        """An object of the program's has many handles and one identity."""
        node = self.generic_visit(node)
        if len(node.ops) != 1 or not isinstance(node.ops[0], (ast.Is, ast.IsNot)):
            return node
        same = ast.Call(ast.Name("__same__", ast.Load()), [node.left, *node.comparators], [])
        return ast.UnaryOp(ast.Not(), same) if isinstance(node.ops[0], ast.IsNot) else same

    def hands_over_checked(self, statement):
        calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
        args = [arg for call in calls for arg in call.args if isinstance(arg, ast.Name)]
        return any(arg.id in self.checked for arg in args)

    def generic_visit(self, node):
        for field, value in ast.iter_fields(node):
            if field in ("body", "orelse", "finalbody") and isinstance(value, list):
                setattr(node, field, self.visit_block(value))
            elif isinstance(value, list):
                value[:] = [self.visit(item) if isinstance(item, ast.AST) else item for item in value]
            elif isinstance(value, ast.AST):
                setattr(node, field, self.visit(value))
        return node


def is_literal(node):
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return not (isinstance(node, ast.Constant) and node.value is None)


def settle(is_used):
    return ast.Expr(ast.Call(ast.Name("__settle__", ast.Load()), [ast.Constant(is_used)], []))


def parsed(order):
    """The setup and the tests as trees, or what is wrong with them."""
    try:
        setup = "\n".join([*order["imports"], order["setup"]])
        return [ast.parse(source) for source in [setup, *order["tests"]]]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unjudgeable(f"the test does not compile: {error}") from None


def compiled(tree, name, candidate):
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            candidate.raises.update((name, line) for line in range(node.lineno, node.end_lineno + 1))
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    rest = [node for node in tree.body if node not in future]
    tree = ast.Module(future + Settling(tree).visit_block(rest), [])
    try:
        return compile(ast.fix_missing_locations(tree), name, "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unjudgeable(f"the test does not compile: {error}") from None


def judge(candidate, order, write):
    try:
        trees = parsed(order)
        check_imports(trees)
        text = Text(trees, order["entry_point"], order["prompt"])
        own = bound(trees)
        space = candidate.space
        space.update({"__name__": "__tests__", "__settle__": candidate.settle, "__same__": same}, **text.real(own))
        space.update(careful(candidate, text.used, text.constants))
        wanted = {name for name in text.used - own - set(space) if not hasattr(builtins, name)}
        space.update(helpers(order["prompt"], order["entry_point"], wanted - {order["entry_point"]}))
        errors = text.errors(own | set(space))
        setup, *tests = [compiled(tree, f"<test {index}>", candidate) for index, tree in enumerate(trees)]
    except Unjudgeable as error:
        return write("all", "broken", str(error))
    except Exception as error:  # nothing of the program's has been read yet
        return write("all", "broken", f"the tests cannot be read: {type(error).__name__}: {error}"[:300])
    try:
        candidate.receive()  # before the program's first line
    except Gone as error:
        return write("all", "unstarted", str(error))
    space.update((name, type(name, (Exception,), {"__module__": "__tests__"})) for name in errors)
    for name, kinds in text.caught.items():
        candidate.errors[name] = [compile(ast.Expression(kind), "<error>", "eval") for kind in kinds]
    try:
        candidate.value()  # behind its last line
        names = text.programs(space)
        found = candidate.ask(op="globals", names=names)
        if type(found) is not dict:
            candidate.give_up(Gone, "its answer is no answer")
        for name in found.keys() & set(names):  # other names are ignored
            value = found[name]
            if type(value) is Handle and text.is_class(name):
                value = Own(candidate, number(value))
            elif not isinstance(value, Handle) and name not in text.stored:
                candidate.variables[name] = value
            space[name] = value
        run(setup, space, candidate)
    except BaseException as error:
        return write("all", *failed(error))
    for index, test in enumerate(tests):
        try:
            run(test, space, candidate)
        except BaseException as error:
            write(index, *failed(error))
        else:
            write(index, "pass", "")


def careful(candidate, used, written):
    """Builtins that run a text, or import by it: only what the tests write out, or plain expressions.

    A test that evaluates what the program returns would otherwise run it here.
    """
    def trusted(source):
        if isinstance(source, (str, bytes)) and source not in written:
            candidate.give_up(Refused, "the test would run a text of the program's")
        return source

    def careful_eval(source, names=None, local=None):
        frame = sys._getframe(1)
        if isinstance(source, (str, bytes)) and source not in written:
            if not is_plain(source, names or {}):
                trusted(source)
            return eval(source.strip(), {"__builtins__": PURE, **(names or {})})
        return eval(source, frame.f_globals if names is None else names, local or (names or frame.f_locals))

    def careful_exec(source, names=None, local=None):
        frame = sys._getframe(1)
        exec(trusted(source), frame.f_globals if names is None else names, local or (names or frame.f_locals))

    def careful_compile(source, *rest, **named):
        return compile(trusted(source), *rest, **named)

    if "pickle" in used:
        import io
        import pickle

        class Unpickler(pickle.Unpickler):
            def find_class(self, *name):
                candidate.give_up(Refused, f"the test would load {name}")

        pickle.loads = lambda data, **named: Unpickler(io.BytesIO(data), **named).load()
        pickle.load = lambda file, **named: Unpickler(file, **named).load()
    found = {"eval": careful_eval, "exec": careful_exec, "compile": careful_compile}
    return {name: function for name, function in found.items() if name in used}


def is_plain(source, names):
    """Whether a text is an expression of literals, operators, pure builtins and these names."""
    try:
        nodes = list(ast.walk(ast.parse(source.strip(), mode="eval")))
    except (AttributeError, SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        return False
    called = {node.func for node in nodes if isinstance(node, ast.Call)}
    known = {node for node in nodes if isinstance(node, ast.Name) and node.id in {*PURE, *names}}
    return all(isinstance(node, PLAIN) or node in known for node in nodes) and called <= known


def run(code, space, candidate):
    """Runs a test; what was refused in it fails it, whatever the test catches."""
    try:
        exec(code, space)
    finally:
        candidate.changed.clear()
        candidate.aliases.clear()
        broken = candidate.broken
        if isinstance(broken, Refused):
            candidate.broken = None
        if broken:
            raise broken


def failed(error):
    if isinstance(error, Gone):
        return "gone", str(error)
    return "fail", f"{type(error).__name__}: {error}"[:300]


def main():
    sys.set_int_max_str_digits(0) if hasattr(sys, "set_int_max_str_digits") else None
    with open("order.json", encoding="utf-8") as file:
        order = json.load(file)
    os.unlink("order.json")
    channel, verdicts = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):  # what a test prints is no verdict
        os.dup2(null, descriptor)

    def write(index, verdict, why):
        line = " ".join([order["nonce"], str(index), verdict, json.dumps(why)])
        os.write(verdicts, line.encode() + b"\n")

    judge(Candidate(channel), order, write)
    os._exit(0)


main()
