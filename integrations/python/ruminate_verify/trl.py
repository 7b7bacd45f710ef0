"""Reward functions for TRL's trainers (GRPO, RLOO and others). TRL itself is not needed to import this."""

from ._native import verify_batch


def reward(kind="math", gold="answer", *, columns=(), unscored=None, deadline_s=10.0, threads=0, **options):
    """A reward function that judges completions by a verifier.

    `gold` names the data set's column with the expected answer, `columns` others that the verifier reads (`numbers` and
    `target` of `countdown`). A completion that cannot be judged gets `unscored`: None, the default, leaves it out of TRL's
    rewards; a number counts as a reward. `options` are the verifier's."""

    def function(completions, **kwargs):
        texts = [_text(completion) for completion in completions]
        if gold is not None and gold not in kwargs:
            raise ValueError(f"expected a column {gold!r} in the data set, found {sorted(kwargs)}")
        golds = kwargs[gold] if gold is not None else [None] * len(texts)
        named = {name: kwargs[name] for name in columns}
        verdicts = verify_batch(
            kind, list(golds), texts, deadline_s=deadline_s, threads=threads, columns=named, **options
        )
        return [verdict.score if verdict.scored else unscored for verdict in verdicts]

    function.__name__ = f"{kind}_reward"
    return function


def _text(completion):
    """The text of a completion, which is a list of messages where the prompt is one."""
    if isinstance(completion, str):
        return completion
    parts = []
    for message in completion:
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
        parts.append(content)
    return "\n".join(parts)
