"""What a verification found, for a person and for the repair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from v2a_core.outputs import manifest
from v2a_core.outputs.manifest import Manifest

_EXAMPLES = 3


@dataclass
class Damage:
    """What a repair takes out.

    Attributes:
        parts: Names of parts that cannot be used.
        rows: Of the other parts, the rows that have to be made anew, by their position.
        gone: Names of parts that are recorded, but no longer there.
        files: Other files and folders, by their path in the output.
        redo: The manifest says done, and the job has to run again nevertheless.
    """

    parts: list[str] = field(default_factory=list)
    rows: dict[str, set[int]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    redo: bool = False

    def __bool__(self) -> bool:
        return bool(self.parts or any(self.rows.values()) or self.gone or self.files or self.redo)

    def mark(self, part: str, rows: Iterable[int]) -> None:
        """Have rows of a part made anew."""
        self.rows.setdefault(part, set()).update(rows)


@dataclass
class Report:
    """What was found.

    Attributes:
        output: Folder or URI.
        job: Which made it; None for a folder of several outputs.
        made_by: Its manifest.
        parts: Rows of each part, by name; None for one that cannot be used.
        summary: What there is, in words.
        problems: What is wrong: the output is unfit.
        notes: What is worth knowing: rejects, sources in several versions.
        damage: What has to be taken out before the job can make it anew; the other problems the job mends by itself.
        inside: Reports of the outputs in it: of a folder of several, of an evaluation with what networks heard.
    """

    output: str
    job: str | None
    made_by: Manifest = field(default_factory=Manifest)
    parts: dict[str, int | None] = field(default_factory=dict)
    summary: str = ""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    damage: Damage = field(default_factory=Damage)
    inside: list[Report] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows that were read."""
        return sum(rows or 0 for rows in self.parts.values())

    @property
    def damaged(self) -> bool:
        """Whether something has to be taken out first."""
        return bool(self.damage) or any(report.damaged for report in self.inside)

    @property
    def to_make(self) -> int:
        """Rows that a repair takes out, at most: what stands twice is not made again."""
        recorded = manifest.recorded_parts(self.made_by)
        lost = sum(recorded.get(name, 0) for name in (*self.damage.parts, *self.damage.gone))
        marked = sum(len(rows) for rows in self.damage.rows.values())
        return lost + marked + sum(report.to_make for report in self.inside)

    @property
    def again(self) -> str:
        """The command that makes anew what is missing."""
        # What networks hear is a part of an evaluation, without a command of its own.
        job = "evaluate" if self.job in ("extract", "listen") else self.job
        return f"the same `v2a {job}` again" if job else "the same command again"

    def lines(self) -> Iterator[str]:
        """The report for a person."""
        yield from (f"problem: {problem}" for problem in self.problems)
        yield from (f"note: {note}" for note in self.notes)
        what = f"{len(self.problems)} problem{'s' * (len(self.problems) > 1)}" if self.problems else "nothing wrong"
        yield f"verify: {self.summary}, {what} -> {self.output}"
        if self.damaged:
            yield f"verify: `v2a verify {self.output} --repair` takes out what is damaged; then run {self.again}"
        elif self.problems:
            yield f"verify: run {self.again}"


def first_few(values: Iterable[object] | pa.ChunkedArray) -> str:
    """The first few of a column or list, for a message."""
    items = values.to_pylist() if isinstance(values, (pa.Array, pa.ChunkedArray)) else list(values)
    shown = ", ".join(map(str, items[:_EXAMPLES]))
    return shown if len(items) <= _EXAMPLES else f"{shown}, ..."
