"""What `v2a plan` is asked, and how people write it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass

JOBS = ("embed", "generate")
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Asked:
    """What a plan is asked.

    Attributes:
        job: Of `JOBS`.
        catalog: As for the job.
        output: What it holds already is not counted; None: nothing is done.
        config: File or name, as for the job.
        overrides: `key=value` settings of the job.
        models: A bundle's name or file.
        mapper, embeddings: As for `generate`.
        limit: Of the catalog's first entries.
        sample: Sources to measure; None: a tenth of them, 8 to 32.
        sources: Plan for so many, like those of the catalog; None: for the catalog.
        deadline_s, budget: By which the machines are chosen.
        address: Where the sample is measured, as for the job.
    """

    job: str
    catalog: Sequence[str]
    output: str | None = None
    config: str | None = None
    overrides: Sequence[str] = ()
    models: str = "paper"
    mapper: str | None = None
    embeddings: str | None = None
    limit: int | None = None
    sample: int | None = None
    sources: int | None = None
    deadline_s: float | None = None
    budget: float | None = None
    address: str | None = None


def duration_s(text: str) -> float:
    """`12h`, `90m`, `1.5d`, `40s` in seconds.

    Raises:
        argparse.ArgumentTypeError: For anything else.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*(s|min|m|h|d)\s*", text)
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: give a time above zero with its unit, such as 40s, 90m, 12h or 2d")
    return float(match[1]) * _UNITS[match[2]]


def amount(text: str) -> float:
    """A sum of money.

    Raises:
        argparse.ArgumentTypeError: When it is no number above zero.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: give a sum above zero, in the currency of the cluster file")
    return value
