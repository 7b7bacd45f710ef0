"""The rows that ruminate writes to the standard input of `log.command`, as flat dictionaries of numbers.

A row is one JSON object a line. `kind` says what it is: `start` (with `id`, `name`, `command`, `step`, `config`), `metrics`,
`eval` and `validation` (a row of the log of that name) or `end`.
"""

import json
import sys


def read(lines=None):
    """Yields (kind, row) for every line; a line that is no JSON object is skipped with a note on standard error."""
    for line in sys.stdin if lines is None else lines:
        try:
            row = json.loads(line)
            kind = row.pop("kind")
        except (ValueError, AttributeError, KeyError, TypeError):
            print(f"logger: not a row: {line[:80]!r}", file=sys.stderr)
            continue
        yield kind, row


def numbers(kind, row):
    """The numbers of a row by name: those of a step under their own, others as `eval/SET/NAME` and `validation/NAME`."""
    prefix = {"metrics": "", "eval": f"eval/{row.get('set', '')}/", "validation": "validation/"}[kind]
    found = {}

    def add(name, value):
        if isinstance(value, dict):
            for inner, of in value.items():
                add(f"{name}/{inner}", of)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[prefix + name] = value

    for name, value in row.items():
        if name != "step":
            add(name, value)
    return found


def follow(begin, log, end, lines=None):
    """Calls `begin(start row)`, `log(numbers, step)` for each row with numbers, and `end()`, which comes even where the run was
    killed: then the input ends without an `end`."""
    begun = False
    try:
        for kind, row in read(lines):
            if kind == "start":
                begin(row)
                begun = True
            elif kind in ("metrics", "eval", "validation") and begun:
                found = numbers(kind, row)
                if found:
                    log(found, row["step"])
            elif kind == "end":
                break
    finally:
        if begun:
            end()
