"""Inputs to start from: the cases of `fixtures/reward`, each as a file of `corpus/TARGET/`, and words of LaTeX for `-dict`.

    python fuzz/seeds.py
"""

import hashlib
import json
from pathlib import Path

HERE = Path(__file__).parent
ROWS = [json.loads(line) for name in ("math", "math_more", "hacks")
        for line in (HERE / f"../fixtures/reward/{name}.jsonl").read_text().splitlines()]
# What stands in an input's first line; the completion is the rest.
FIRST_LINE = {"math": "gold", "countdown": "target", "format": None, "regex": "pattern"}
WORDS = r"""\frac{ \dfrac{ \sqrt{ \sqrt[ \boxed{ \left( \right) \begin{pmatrix} \end{pmatrix} \begin{cases} \text{ \mathbb{R}
\cup \cap \infty \pi \pm \cdot \times \le \ge \ne \approx \in \log_ \sin \binom{ \sum_{ \int \overline{ \% \$ \, \\ \{ \}
\[ \] \( \) $$ } ^ _ & ! <think> </think> <answer> </answer> #### answer: final and or 1e9 1/2 0.(3) x=1 10^{10 (?i) (?: [^ {1,9}""".split()


def main():
    for target, key in FIRST_LINE.items():
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for row in ROWS:
            if row["kind"] == target or (target == "format" and row["kind"] != "regex"):
                first = str(row.get(key, "")).replace("\n", " ")
                data = f"{first}\n{row['completion']}".encode()
                (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
    escaped = (word.replace("\\", "\\\\").replace('"', '\\"') for word in WORDS)
    (HERE / "corpus" / "words.dict").write_text("".join(f'"{word}"\n' for word in escaped))


if __name__ == "__main__":
    main()
