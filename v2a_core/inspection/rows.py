"""What a check says: a line of the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["right", "wrong", "not checked"]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: What was looked at.
        expected: What it is when all is well.
        found: What it is.
        verdict: `not checked` where something is needed that was not given.
        advice: What is the cause and what to do, when it is not right.
    """

    name: str
    expected: str
    found: str
    verdict: Verdict
    advice: str = ""


def judged(name: str, expected: str, found: str, is_right: bool, advice: str) -> Row:
    """A row that is right or wrong; the advice stands only beside what is wrong."""
    return Row(name, expected, found, "right" if is_right else "wrong", "" if is_right else advice)


def unchecked(name: str, expected: str, needed: str) -> Row:
    """A row of what could not be looked at.

    Args:
        name: What it is about.
        expected: What it is when all is well.
        needed: What to give, so that it can be checked.
    """
    return Row(name, expected, "-", "not checked", needed)
