"""Whether two scores say the same: of two trainings from one seed they must. Importing this loads no torch."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from v2a_core.config import ConfigError
from v2a_core.metrics.base import Score
from v2a_core.miniature.score.lines import JSON_FILE, format_table, with_interval
from v2a_core.protocols import JSON

_SPEED = "seconds"  # says more about the machine than about the bundle
_PROCESSES = "processes"  # changes how fast a score comes, not what comes


@dataclass(frozen=True)
class Pair:
    """A number of both scores.

    Attributes:
        title: For people.
        first: In one score.
        second: In the other.
    """

    title: str
    first: Score
    second: Score

    @property
    def agrees(self) -> bool:
        """Whether the intervals overlap."""
        return self.first.low <= self.second.high and self.second.low <= self.first.high


@dataclass(frozen=True)
class Agreement:
    """All numbers that both scores have.

    Attributes:
        pairs: In the first score's order.
    """

    pairs: tuple[Pair, ...]

    @property
    def whole(self) -> bool:
        """Whether all agree."""
        return all(pair.agrees for pair in self.pairs)

    def to_markdown(self) -> str:
        """A table and a sentence."""
        rows = [
            [pair.title, with_interval(pair.first), with_interval(pair.second), "" if pair.agrees else "APART"]
            for pair in self.pairs
        ]
        agreeing = sum(pair.agrees for pair in self.pairs)
        table = format_table(["number", "first", "second", ""], rows)
        return f"{table}\n\n{agreeing} of {len(self.pairs)} numbers agree: their intervals overlap."


def compare(first: Path, second: Path) -> Agreement:
    """Compare two scores.

    Args:
        first: Folder of a `score.json`.
        second: Another one.

    Raises:
        ConfigError: When there is no score, or the two were measured differently.
    """
    a, b = _read(first), _read(second)
    asked, answered = ({**score["settings"], "seed": score["seed"]} for score in (a, b))
    differing = [name for name in asked if name != _PROCESSES and asked[name] != answered.get(name)]
    if differing:
        found = "; ".join(f"{name} {asked[name]} and {answered.get(name)}" for name in differing)
        raise ConfigError(f"{first} and {second} were measured differently: {found}")
    pairs = [
        Pair(line["title"], _score(line), _score(b["lines"][name]))
        for name, line in a["lines"].items()
        if name in b["lines"] and name != _SPEED
    ]
    known = (pair for pair in pairs if not math.isnan(pair.first.low + pair.second.low))
    return Agreement(tuple(known))


class _WrittenLine(TypedDict, total=False):
    """A line of a `score.json`."""

    title: str
    value: float
    low: float
    high: float
    count: int


class _Written(TypedDict):
    """What a `score.json` says that can be compared."""

    settings: dict[str, JSON]
    seed: int
    lines: dict[str, _WrittenLine]


def _read(folder: Path) -> _Written:
    try:
        written: _Written = json.loads((folder / JSON_FILE).read_text(encoding="utf-8"))
        return written
    except FileNotFoundError:
        raise ConfigError(
            f"no {JSON_FILE} in {folder}: `v2a models score BUNDLE --output {folder}` writes it"
        ) from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{folder / JSON_FILE} is no JSON: {error}") from None


def _score(line: _WrittenLine) -> Score:
    """What `Score.to_dict` wrote: what is missing is not known."""
    return Score(line.get("value", math.nan), line.get("low", math.nan), line.get("high", math.nan), line["count"])
