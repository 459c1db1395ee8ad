"""Reads what a process answered from inside: text that may mean to deceive us."""

from __future__ import annotations

import ast
from typing import TypeVar

import msgspec

from gpudoctor.model.decoding import convert

MOST_CHARACTERS = 64 * 1024
T = TypeVar("T")
_NOT_ONE = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, msgspec.MsgspecError)


def read_answer(answer: str, kind: type[T]) -> T:
    """The `kind` that the answer, a Python literal, tells of.

    Raises:
        ValueError: it is too long, no literal, or of another shape.
    """
    if len(answer) > MOST_CHARACTERS:
        raise ValueError(f"it answered with {len(answer)} characters")
    try:
        return convert(ast.literal_eval(answer), kind)
    except _NOT_ONE as error:
        raise ValueError("what it answered is not the payload's answer") from error
