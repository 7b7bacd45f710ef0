#!/usr/bin/env python3
"""What a user would run instead of ruminate-math-verify: Math-Verify, on the pairs of `cargo bench -p ruminate-math-verify`.
usage: peer_math.py (with math-verify installed). Prints: peer math NAME verdicts/s, the median of 5 rounds of about a second, caches warm."""
import ast, importlib.metadata, pathlib, re, statistics, time
from math_verify import parse, verify

source = (pathlib.Path(__file__).parents[1] / "crates/math-verify/benches/verify.rs").read_text()


def pairs(name):
    """The literals of a Rust slice of pairs of texts; its escapes are Python's."""
    return ast.literal_eval(re.search(rf"const {name}: [^=]*= &(\[.*?\n\]);", source, re.DOTALL).group(1))


def judged(all_pairs):
    for gold, completion in all_pairs:
        verify(parse(gold), parse(completion))
    return len(all_pairs)


print("math-verify", importlib.metadata.version("math-verify"))
for name in ["SIMPLE", "LATEX"]:
    cases, rates = pairs(name), []
    judged(cases)
    for _ in range(5):
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < 1:
            count += judged(cases)
        rates.append(count / (time.perf_counter() - start))
    print(f"peer math {name.lower()}: {statistics.median(rates):.0f} verdicts/s")
