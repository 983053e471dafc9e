"""What a table of things that were tried says of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

VERDICTS = {"passed": "held", "failed": "WENT THROUGH", "skipped": "not tried"}  # by what pytest says


def counts(verdicts: Iterable[str]) -> str:
    """How many are what."""
    found = Counter(verdicts)
    parts = [f"{found['held']} of {found.total()} held"]
    parts += [f"{found[verdict]} {verdict}" for verdict in ("WENT THROUGH", "not tried") if found[verdict]]
    return ", ".join(parts)
