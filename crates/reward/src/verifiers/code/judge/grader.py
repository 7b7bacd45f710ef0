"""The judge of assert lines: runs a task's tests where the program is not, and asks it through a channel.

It is a job of its own: no file, process or memory of the program's is here. The order is in its folder, the channel
is standard input, and a verdict is a line on standard output that begins with a nonce. What no program can change
(tests that do not compile, a package that is missing) is reported before the program is read; after that every ending
is the program's.

This file is the last of those that are run as one: careful.py, names.py, handles.py, suites.py and calls.py come
before it.
"""


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
            if getattr(statement, "is_mark", False):
                settled.append(statement)
                continue
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
    counted = Counted().visit(ast.Module(rest, []))
    tree = ast.Module(future + Settling(counted).visit_block(counted.body), [])
    try:
        return compile(ast.fix_missing_locations(tree), name, "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unjudgeable(f"the test does not compile: {error}") from None


class Plan:
    """What is run, decided from the tests' text alone, before anything of the program's is read."""

    def __init__(self, candidate, order):
        trees, imported = of_program(parsed(order))
        modules = check_imports(trees)
        check_suites(trees)
        entry = order["entry_point"]
        named = entry if entry and entry.isidentifier() else None
        self.calls = Calls(order, candidate) if order["calls"] else None
        self.text = Text(trees, named, order["prompt"], imported)
        self.captures = captures(trees)
        self.suite = Suite(candidate.space, entry)
        self.files(trees, entry)
        own = bound(trees)
        space = candidate.space
        space.update(
            {"__name__": "__tests__", "__settle__": candidate.settle, "__same__": same,
             "__reached__": candidate.mark}, **self.text.real(own))
        space.update(careful(candidate.refuse, self.text.used, self.text.constants))
        stand_ins(modules | {"pytest"} & self.text.used)
        space.update({"pytest": sys.modules["pytest"]} if "pytest" in sys.modules else {})
        wanted = {name for name in self.text.used - own - set(space) - imported if not hasattr(builtins, name)}
        space.update(helpers(order["prompt"], entry, wanted - {named}))
        self.errors = self.text.errors(own | set(space))
        self.setup, *self.codes = [
            compiled(tree, f"<test {index}>", candidate) for index, tree in enumerate(trees)]

    def files(self, trees, entry):
        """The steps: of each file its statements and its tests, with what is a test of its own."""
        tests, checks = tests_of(trees, entry), Checks(trees)
        self.steps = []  # (file, test or nothing, whether it counts, whether it checks)
        for index, tree in enumerate(trees[1:], 1):
            own = [test for test in tests if test.tree == index]
            is_check = checks.checks(tree)
            self.steps.append((index, None, is_check or not own, is_check))
            self.steps += [(index, test, True, checks.checks_inside(test.node)) for test in own]
        if self.calls is None and not any(is_check for *_, is_check in self.steps):
            raise Unjudgeable("the tests assert nothing")

    def count(self):
        return len(self.calls.cases) if self.calls else sum(counts for _, _, counts, _ in self.steps)

    def names(self, space):
        """What the program is asked for."""
        return self.calls.names() if self.calls else self.text.programs(space)


def judge(candidate, order, write):
    try:
        plan = Plan(candidate, order)
        write("all", "tests", str(plan.count()))
    except Unjudgeable as error:
        return write("all", "broken", str(error))
    except Exception as error:  # nothing of the program's has been read yet
        return write("all", "broken", f"the tests cannot be read: {type(error).__name__}: {error}"[:300])
    try:
        candidate.receive()  # before the program's first line
    except Gone as error:
        return write("all", "unstarted", str(error))
    space, text = candidate.space, plan.text
    space.update((name, type(name, (Exception,), {"__module__": "__tests__"})) for name in plan.errors)
    for name, kinds in text.caught.items():
        candidate.errors[name] = [compile(ast.Expression(kind), "<error>", "eval") for kind in kinds]
    try:
        candidate.value()  # behind its last line
        names = plan.names(space)
        found = candidate.ask(op="globals", names=names)
        if type(found) is not dict:
            candidate.give_up(Gone, "its answer is no answer")
        found = {name: value for name, value in found.items() if name in names}  # other names are ignored
        if plan.calls:
            return run_calls(plan.calls, found, candidate, write)
        for name in sorted(text.imported & set(names)):
            if name not in found:
                raise ImportError(f"the program has no {name}")
        for name, value in found.items():
            if type(value) is Handle and text.is_class(name):
                value = Own(candidate, number(value))
            elif not isinstance(value, Handle) and name not in text.stored:
                candidate.variables[name] = value
            space[name] = value
        if plan.captures:
            candidate.ask(op="capture")
        run(lambda: exec(plan.setup, space), candidate)
    except BaseException as error:
        return write("all", *failed(error))
    run_steps(plan, space, candidate, write)


def run_calls(calls, found, candidate, write):
    for index in range(len(calls.cases)):
        try:
            run(lambda: calls.run(index, found), candidate)
        except BaseException as error:
            write(index, *failed(error))
        else:
            write(index, "pass", "")


def run_steps(plan, space, candidate, write):
    index, failure = 0, None
    for file, test, counts, is_check in plan.steps:
        code = plan.codes[file - 1]
        action = (lambda: plan.suite.run(test)) if test else (lambda: exec(code, space))
        try:
            if test and failure:
                raise failure
            run(action, candidate, is_check)
        except BaseException as error:
            # Where a file's statements fail, its tests do.
            failure = failure if test else error
            if counts:
                write(index, *failed(error))
        else:
            failure = failure if test else None
            if counts:
                write(index, "pass", "")
        index += counts


def run(action, candidate, is_check=False):
    """Runs a test; what was refused in it fails it, whatever the test catches."""
    candidate.reached = False
    try:
        action()
        if is_check and not candidate.reached:
            raise AssertionError("the test ends before it checks anything")
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
