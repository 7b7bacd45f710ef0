#!/usr/bin/env python3
"""Makes gsm-symbolic-train.jsonl (600 problems) and gsm-symbolic-test.jsonl (200 others) in FOLDER, which
recipes/gsm-symbolic.toml reads: word problems of reasoning-gym's `gsm_symbolic`, as it writes them.

    pip install reasoning-gym==0.1.25
    python recipes/data/gsm_symbolic.py FOLDER

The generator fills 100 templates with names and numbers, so the test problems are of templates that training sees, too;
none is a training problem. Running it again gives the same files."""

import json
import sys
from pathlib import Path

import reasoning_gym

seen = set()
for name, size, seed in (("train", 600, 1), ("test", 200, 2)):
    lines = []
    for problem in reasoning_gym.create_dataset("gsm_symbolic", size=4 * size, seed=seed):
        if problem["question"] not in seen and len(lines) < size:
            seen.add(problem["question"])
            lines.append(json.dumps({"question": problem["question"], "answer": problem["answer"]}))
    assert len(lines) == size
    Path(sys.argv[1], f"gsm-symbolic-{name}.jsonl").write_text("\n".join(lines) + "\n")
