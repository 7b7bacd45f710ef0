"""`python3 -m unittest discover integrations/loggers`: the adapters with modules that write down what they are asked."""

import io
import json
import os
import subprocess
import sys
import tempfile
import unittest

import rows

HERE = os.path.dirname(os.path.abspath(__file__))

START = {"kind": "start", "id": "0123456789abcdef", "name": "run", "command": "grpo", "step": 0, "config": {"seed": 3}}
LINES = [
    START,
    {"kind": "metrics", "step": 1, "reward": 0.5, "kl": None, "alarms": [{"name": "x"}]},
    {"kind": "eval", "step": 1, "set": "validation", "pass@1": 0.25, "pass@1_ci": [0.1, 0.4], "measures": {"format": 1.0}},
    {"kind": "validation", "step": 1, "pass@1": 0.5, "is_best": True},
    {"kind": "metrics", "step": 2, "alarms": []},
    {"kind": "end", "step": 2, "complete": True},
]

# Stands in for wandb and for trackio, and prints each call.
FAKE = '''
import json, sys
def note(*what):
    print(json.dumps(what), file=sys.stderr)
def init(**named):
    note("init", named)
def define_metric(*named, **more):
    pass
def log(numbers, step=None):
    note("log", numbers, step)
def finish():
    note("finish")
'''


def calls(script, lines):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("wandb", "trackio"):
            with open(os.path.join(folder, name + ".py"), "w", encoding="utf-8") as file:
                file.write(FAKE)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        ended = subprocess.run(
            [sys.executable, os.path.join(HERE, script)],
            input=text,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": folder},
            check=True,
        )
    return [json.loads(line) for line in ended.stderr.splitlines()]


class Loggers(unittest.TestCase):
    def test_rows_become_numbers_by_name(self):
        lines = io.StringIO("".join(json.dumps(line) + "\n" for line in LINES[1:4]) + "nonsense\n[1]\n{}\n")
        found = [rows.numbers(kind, row) for kind, row in rows.read(lines)]
        self.assertEqual(found[0], {"reward": 0.5})
        self.assertEqual(found[1], {"eval/validation/pass@1": 0.25, "eval/validation/measures/format": 1.0})
        self.assertEqual(found[2], {"validation/pass@1": 0.5})

    def test_wandb_gets_the_step_as_a_metric_and_one_run(self):
        got = calls("to_wandb.py", LINES)
        self.assertEqual([call[0] for call in got], ["init", "log", "log", "log", "finish"])
        self.assertEqual((got[0][1]["id"], got[0][1]["resume"]), (START["id"], "allow"))
        self.assertEqual(got[1][1:], [{"reward": 0.5, "step": 1}, None])

    def test_trackio_gets_the_step_and_a_killed_run_is_finished(self):
        got = calls("to_trackio.py", LINES[:2])
        self.assertEqual([call[0] for call in got], ["init", "log", "finish"])
        self.assertEqual((got[0][1]["project"], got[0][1]["name"]), ("ruminate", "run-01234567"))
        self.assertEqual(got[1][1:], [{"reward": 0.5}, 1])

    def test_nothing_is_finished_that_never_began(self):
        self.assertEqual(calls("to_wandb.py", []), [])


if __name__ == "__main__":
    unittest.main()
