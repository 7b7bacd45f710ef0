"""Ten thousand verdicts from eight Python threads, by ruminate_verify and by math-verify from PyPI: how long it takes, how many fail,
and where the two disagree.

    pip install math-verify
    python examples/compare_threads.py PAIRS.jsonl    # lines with `gold` and `completion`"""

import json
import sys
import threading
import time

from ruminate_verify import verify, verify_batch

COUNT, THREADS = 10_000, 8


def pairs(path):
    rows = [json.loads(line) for line in open(path, encoding="utf-8")]
    rows = [(row["gold"], row["completion"]) for row in rows if isinstance(row.get("gold"), str)]
    return [rows[at % len(rows)] for at in range(COUNT)]


def in_threads(judge, work):
    """Verdicts in their order (an exception where one was raised), and the seconds that they took."""
    verdicts = [None] * len(work)

    def part(first):
        for at in range(first, len(work), THREADS):
            try:
                verdicts[at] = judge(*work[at])
            except BaseException as error:  # what math-verify raises in threads is one of them
                verdicts[at] = error

    threads = [threading.Thread(target=part, args=(first,)) for first in range(THREADS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return verdicts, time.perf_counter() - start


def main():
    work = pairs(sys.argv[1])
    ours, seconds = in_threads(lambda gold, text: verify("math", gold, text, deadline_s=10).outcome, work)
    failed = sum(isinstance(verdict, BaseException) for verdict in ours)
    print(f"ruminate_verify.verify, {THREADS} threads, deadline 10 s: {seconds:.2f} s, {failed} failed")
    start = time.perf_counter()
    batch = verify_batch("math", [gold for gold, _ in work], [text for _, text in work], threads=THREADS)
    print(f"ruminate_verify.verify_batch, {THREADS} threads: {time.perf_counter() - start:.2f} s")
    assert [verdict.outcome for verdict in batch] == ours
    try:
        import math_verify
    except ImportError:
        print("math-verify is not installed, so nothing was compared")
        return
    judge = lambda gold, text: math_verify.verify(math_verify.parse(gold), math_verify.parse(text))
    theirs, seconds = in_threads(judge, work)
    failures = [verdict for verdict in theirs if isinstance(verdict, BaseException)]
    print(f"math_verify, {THREADS} threads: {seconds:.2f} s, {len(failures)} failed")
    if failures:
        print(f"  such as {type(failures[0]).__name__}: {failures[0]}")
    # Its documentation advises to turn its timeouts off where there are threads.
    untimed = lambda gold, text: math_verify.verify(
        math_verify.parse(gold, parsing_timeout=None), math_verify.parse(text, parsing_timeout=None), timeout_seconds=None
    )
    distinct = list(dict.fromkeys(work))
    theirs, seconds = in_threads(untimed, distinct)
    judged = dict(zip(work, ours))
    scored = [(pair, theirs[at]) for at, pair in enumerate(distinct) if judged[pair] != "unscored"]
    equal = sum((judged[pair] == "correct") == (verdict is True) for pair, verdict in scored)
    print(f"math_verify without timeouts, {len(distinct)} distinct pairs: {seconds:.2f} s")
    print(f"agreement on {len(scored)} distinct pairs with a verdict: {equal} ({100 * equal / len(scored):.1f} %)")


if __name__ == "__main__":
    main()
