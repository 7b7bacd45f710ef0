#!/usr/bin/env python3
"""Tasks for `ruminate bench grpo` and peer_grpo.py: sums of two numbers from 1 to 20, the same ones every time.
usage: sums.py [COUNT] > TASKS.jsonl"""
import json, random, sys
rng = random.Random(0)
for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 64):
    a, b = rng.randint(1, 20), rng.randint(1, 20)
    print(json.dumps({"prompt": [{"role": "user", "content": f"What is {a} + {b}? Reply with the number."}], "answer": str(a + b)}))
