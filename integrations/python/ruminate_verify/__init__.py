"""Verifiable rewards: is the answer of a model's text the expected one?

    >>> from ruminate_verify import verify
    >>> verify("math", r"\\frac{1}{2}", r"So it is $\\boxed{0.5}$.").correct
    True

`verify` judges one completion, `verify_batch` many on threads of their own; both leave the interpreter's lock free while they
judge. `kinds()` are the verifiers. `ruminate_verify.trl` makes reward functions for TRL."""

from ._native import Verdict, kinds, verify, verify_batch

__all__ = ["Verdict", "kinds", "verify", "verify_batch"]
