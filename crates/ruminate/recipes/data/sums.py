#!/usr/bin/env python3
"""Makes sums-train.jsonl and sums-held-out.jsonl, which recipes/smollm2-sums.toml reads, beside this script.

All 400 problems `a + b` with a and b from 1 to 20, in two halves of 200 in a random order. A problem and its mirror
(3 + 4 and 4 + 3) are in the same half: no held-out answer can be read off a training problem. Running it again gives the
same files."""

import json
import random
from pathlib import Path

rng = random.Random(0)
doubles = [(n, n) for n in range(1, 21)]
pairs = [(a, b) for a in range(1, 21) for b in range(a + 1, 21)]
rng.shuffle(doubles)
rng.shuffle(pairs)
# 10 doubles and 95 pairs, each of which is two problems, make 200.
halves = {"train": doubles[:10] + pairs[:95], "held-out": doubles[10:] + pairs[95:]}
for name, half in halves.items():
    problems = sorted({(a, b) for a, b in half} | {(b, a) for a, b in half})
    rng.shuffle(problems)
    assert len(problems) == 200
    lines = [
        json.dumps({"prompt": f"What is {a} + {b}? Reply with the number.", "answer": str(a + b)})
        for a, b in problems
    ]
    Path(__file__).with_name(f"sums-{name}.jsonl").write_text("\n".join(lines) + "\n")
