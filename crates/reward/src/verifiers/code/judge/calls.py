"""Calls with what they must return: a function of the program's, or a method of its class `Solution`."""


class Calls:
    """The calls of a task."""

    def __init__(self, order, candidate):
        self.function, self.tolerance = order["function"], order["tolerance"]
        self.wrapped, self.candidate = order["wrapped"], candidate
        self.cases = [case_of(case) for case in order["calls"]]
        if self.function is not None and not self.function.isidentifier():
            raise Unjudgeable(f"{self.function!r} is the name of no function")

    def run(self, index, found):
        """Raises where the program does not return what is expected."""
        args, named, expected = self.cases[index]
        value = self.callee(found)(*args, **named)
        if not any(equal(value, each, self.tolerance) for each in self.accepted(expected)):
            raise AssertionError(f"returns {value!r:.100}, not {expected[0]!r:.100}")

    def accepted(self, expected):
        yield from expected
        if self.wrapped:
            yield expected[0][0]

    def callee(self, found):
        function, solution = found.get(self.function), found.get("Solution")
        if isinstance(function, Handle):
            return function
        if not isinstance(solution, Handle):
            raise NameError(f"the program has no function {self.function}")
        return getattr(Own(self.candidate, number(solution))(), self.function)

    def names(self):
        """What the program is asked for; where the row names no function, the last one that it defines."""
        if self.function is None:
            found = self.candidate.ask(op="functions")
            texts = [name for name in found if type(name) is str and name.isidentifier()] if type(found) is list else []
            if not texts:
                raise NameError("the program has no function")
            self.function = texts[-1]
        return [self.function, "Solution"]


def case_of(case):
    """Arguments, named ones, and the values that are right."""
    args, expected = case["args"], [case["expected"]]
    if case["text"]:
        # A value a line, and one value.
        args = [value_of(line) for line in args.splitlines() if line.strip()] if isinstance(args, str) else args
        expected = [value_of(expected[0])] if isinstance(expected[0], str) else expected
    elif isinstance(args, str):
        try:
            args = json.loads(args)
        except ValueError:
            args = [args]
        if isinstance(expected[0], str):
            try:
                expected.append(json.loads(expected[0]))
            except ValueError:
                pass
    if isinstance(args, dict):
        return [], args, expected
    return args if isinstance(args, list) else [args], {}, expected


def value_of(text):
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    raise Unjudgeable(f"an argument or a result is neither JSON nor a value of Python: {text[:80]}")


def equal(found, expected, tolerance):
    """Equality of plain data: tuples are lists, keys may be the texts of numbers, fractions have a tolerance."""
    if isinstance(found, Handle):
        return False
    if isinstance(expected, (list, tuple)):
        return isinstance(found, (list, tuple)) and len(found) == len(expected) and all(
            equal(each, other, tolerance) for each, other in zip(found, expected))
    if isinstance(expected, dict):
        if not isinstance(found, dict) or len(found) != len(expected):
            return False
        texts = {key if isinstance(key, str) else json.dumps(key) if isinstance(key, (int, float)) else None: value
                 for key, value in found.items()}
        return len(texts) == len(found) and all(
            key in texts and equal(texts[key], value, tolerance) for key, value in expected.items())
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    if isinstance(expected, float) and is_number and expected - expected == 0 and found - found == 0:
        return found == expected or abs(found - expected) <= tolerance * max(1.0, abs(expected))
    return found == expected
