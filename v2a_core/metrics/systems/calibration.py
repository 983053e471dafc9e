"""Calibration: which way of hearing gives the numbers that were published of a system whose samples were released.

Papers do not say how they heard. So samples are heard in each of several ways (the cells of a grid), and each published
number stands beside the cell that is nearest to it. Sources of the numbers: V2A-Mapper, arXiv 2308.09300, table 1;
Frieren, arXiv 2406.00320, table 1; MMAudio, arXiv 2412.15322, table 1, which scores both.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from v2a_core.metrics.hearing_protocols import Channels, Protocol, Resampling
from v2a_core.metrics.systems.measure import SetResult

# Of a published number, whose sample of references is never quite ours: of Frieren's own numbers and those that MMAudio
# prints of its samples, the ones that were meant alike are up to 1.5 % apart.
TOLERANCE = 0.03

# What a published number may be, by what its table calls it.
KINDS: Mapping[str, tuple[str, ...]] = {
    "FD": ("fd_cnn14_16k", "fd_cnn14_32k"),
    "FD (PaSST)": ("fd_passt",),
    "FAD": ("fad_vggish",),
    "KL": ("kl_cnn14_16k", "kl_cnn14_32k"),
    "KL (PaSST)": ("kl_passt",),
    "IS": ("is_cnn14_16k", "is_cnn14_32k"),
    "CS": ("cs_wav2clip",),
    "IB": ("ib",),
    "DeSync": ("desync",),
}
METRICS = frozenset(itertools.chain.from_iterable(KINDS.values()))


@dataclass(frozen=True)
class Published:
    """A number of a paper.

    Attributes:
        source: Which paper.
        kind: What it is; see `KINDS`.
        value: The number.
    """

    source: str
    kind: str
    value: float


def _of(source: str, **values: float) -> list[Published]:
    names = {"FD_PaSST": "FD (PaSST)", "KL_PaSST": "KL (PaSST)"}
    return [Published(source, names.get(kind, kind), value) for kind, value in values.items()]


# By the name that a system is given on the command line.
PUBLISHED: Mapping[str, Sequence[Published]] = {
    "v2a-mapper": [
        *_of("V2A-Mapper", FD=24.168, FAD=0.841, CS=9.720),
        # Its table has 100 times the IB.
        *_of("MMAudio", FD=8.40, FD_PaSST=84.57, FAD=0.84, KL=2.69, KL_PaSST=2.56, IS=12.47, IB=0.2258, DeSync=1.225),
    ],
    "frieren": [
        *_of("Frieren", FD=12.26, FAD=1.32, KL=2.73, IS=12.42),
        *_of("MMAudio", FD=11.45, FAD=1.34, KL=2.73, IS=12.25),
    ],
}


def grid() -> list[Protocol]:
    """The ways of hearing: resampling, channels and length; networks at two rates hear each of them."""
    resamplings: tuple[Resampling, ...] = ("sinc", "decimated")
    channels: tuple[Channels, ...] = ("first", "mean")
    return [
        Protocol(f"{resampling}-{channel}-{length_s:g}s", length_s, channel, resampling)
        for resampling, channel, length_s in itertools.product(resamplings, channels, (10.0, 8.0))
    ]


@dataclass(frozen=True)
class Agreement:
    """A published number and the cell that is nearest to it.

    Attributes:
        published: The number.
        cell: Name of the protocol; empty when no cell has such a metric.
        metric: Of the cell.
        value: The cell's; NaN when there is none.
        reason: Why there is none.
    """

    published: Published
    cell: str = ""
    metric: str = ""
    value: float = math.nan
    reason: str = ""

    @property
    def difference(self) -> float:
        """Of the cell from the published number, as a share of it."""
        return self.value / self.published.value - 1

    @property
    def agrees(self) -> bool:
        """Whether the cell gives the number."""
        return abs(self.difference) <= TOLERANCE

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        head = {"source": self.published.source, "kind": self.published.kind, "published": self.published.value}
        if not self.cell:
            return head | {"not_measured": self.reason}
        nearest = {"cell": self.cell, "metric": self.metric, "value": self.value}
        return head | nearest | {"difference": self.difference, "agrees": self.agrees}


def agreements(cells: Mapping[str, Sequence[SetResult]], published: Sequence[Published]) -> list[Agreement]:
    """For each published number the nearest cell.

    Args:
        cells: The metrics of a system, by the protocol's name.
        published: Of this system.
    """
    return [_nearest(cells, number) for number in published]


def _nearest(cells: Mapping[str, Sequence[SetResult]], number: Published) -> Agreement:
    candidates: list[Agreement] = []
    reason = "no network of it was used"
    for cell, results in cells.items():
        for result in results:
            if result.name in KINDS[number.kind]:
                if result.estimate is None:
                    reason = result.reason
                else:
                    candidates.append(Agreement(number, cell, result.name, result.estimate.value))
    return min(candidates, key=lambda item: abs(item.difference), default=Agreement(number, reason=reason))


def calibration_to_markdown(
    system: str, cells: Mapping[str, Sequence[SetResult]], found: Sequence[Agreement], confidence: float
) -> str:
    """The grid of a system as a table, and the published numbers beside it.

    Args:
        system: Its name.
        cells: Its metrics, by the protocol's name.
        found: The nearest cells.
        confidence: Of the intervals.
    """
    first = next(iter(cells.values()))
    measured = [n for n, _ in enumerate(first) if any(results[n].estimate for results in cells.values())]
    lines = [f"## {system}", ""]
    lines += [f"| heard | {' | '.join(first[n].title for n in measured)} |", f"|---|{'---:|' * len(measured)}"]
    for cell, results in cells.items():
        lines.append(f"| {cell} | {' | '.join(_cell(results[n], confidence) for n in measured)} |")
    if found:
        lines += ["", "| published by | metric | number | nearest cell | its value | difference | agrees |"]
        lines.append("|---|---|---:|---|---:|---:|---|")
        lines += [_line(item) for item in found]
    return "\n".join([*lines, ""])


def _cell(result: SetResult, confidence: float) -> str:
    if result.estimate is None:
        return ""
    score = result.estimate.score(confidence)
    return f"{score.value:.3f}" + ("" if math.isnan(score.low) else f" ({score.low:.3f} to {score.high:.3f})")


def _line(item: Agreement) -> str:
    head = f"| {item.published.source} | {item.published.kind} | {item.published.value:g} |"
    if not item.cell:
        return f"{head} not measured: {item.reason.replace('|', '/')} | | | |"
    said = "yes" if item.agrees else "no"
    return f"{head} {item.cell}, {item.metric} | {item.value:.3f} | {item.difference:+.1%} | {said} |"
