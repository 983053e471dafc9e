"""The end of every job: counts, seconds, throughput, for a person and in `summary.json`."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from v2a_core.compute.ids import Ids, none, pack
from v2a_core.media.types import NOT_FOUND
from v2a_core.outputs.ledger import Ledger, Totals
from v2a_core.protocols import JSON
from v2a_core.storage import retrying
from v2a_core.storage.retrying import Traffic
from v2a_core.tables.rows import is_missing
from v2a_core.tables.schema import OK, REJECTED
from workflows.streaming import arrivals
from workflows.streaming.arrivals import Arrivals
from workflows.streaming.config import LimitSettings

_MISSING = ": ".join(NOT_FOUND)


class TooManyRejectsError(RuntimeError):
    """The run rejects more sources than its limit allows."""


class NothingMadeError(TooManyRejectsError):
    """No source of the catalog has anything good in the output."""


class LostSourcesError(RuntimeError):
    """Sources went into the chain and did not come out of it."""


class Counts(TypedDict):
    """What a run has done."""

    sources: int
    sources_done_before: int
    sources_done_now: int
    sources_rejected: int
    sources_missing: int
    rows_done_now: int
    rejected_by_reason: dict[str, int]
    waiting_by_reason: dict[str, int]


class OutputTotals(TypedDict):
    """What its output holds, of the newest version of each source."""

    sources: int
    rows_good: int
    rows_rejected: int
    rejected_by_reason: dict[str, int]
    sources_missing: int
    sources_waiting: int


class Summary(TypedDict):
    """The summary of a streaming job, as in `summary.json`; a job adds what else it has to tell."""

    job: str
    status: str
    output: str
    counts: Counts
    totals: OutputTotals
    seconds: dict[str, float]
    storage: dict[str, int]
    rows_per_second: float


@dataclass
class Tally:
    """Counts of a streaming job, kept by the driver as rows arrive.

    Attributes:
        listed: Sources of the catalog (after `--limit`).
        done_before: Sources that earlier runs had finished.
        planned: Sources of this run.
        rejected_early: Of them, those that were rejected while listing, without those that nobody has.
        good_before: Sources of the catalog of which the output has good rows from earlier runs.
        before: What the output held before the run.
        replaced: Keys and planned ids of the sources of which the output holds another version than the planned one.
        arrivals: What has come of each source.
    """

    job: str
    listed: int = 0
    done_before: int = 0
    planned: int = 0
    rows: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    good_before: int = 0
    before: Ledger = field(default_factory=Ledger)
    replaced: tuple[Ids, Ids] = field(default_factory=lambda: (none(), none()))
    rejected_early: int = 0
    arrivals: Arrivals = field(default_factory=Arrivals)
    stage_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    traffic: Traffic = field(default_factory=Traffic)  # of the workers
    started: float = field(default_factory=time.monotonic)
    driver_before: Traffic = field(default_factory=retrying.traffic)

    def plan(self, listed: int, planned: int, before: Ledger) -> None:
        """Note what a run has to do, out of what was listed, and what its output held before."""
        self.listed, self.planned, self.before = listed, planned, before
        self.done_before = listed - planned

    def expect(self, ids: Ids, names: Sequence[str]) -> None:
        """Note the sources that the chain is to give rows for."""
        self.arrivals = Arrivals(ids, names)

    def replace(self, keys: Ids, ids: Ids) -> None:
        """Note sources of which the output holds another version, and tell so."""
        self.replaced = keys, ids
        if len(keys):
            print(
                f"{self.job}: {len(keys)} sources have changed since they were done: their new versions are "
                "done now, and readers take the latest",
                flush=True,
            )

    def add(self, table: pa.Table) -> None:
        """Count rows that were written."""
        self.rows += table.num_rows
        rejected = pc.equal(table["status"], REJECTED).to_numpy()
        marks = np.full(table.num_rows, arrivals.ARRIVED, np.uint8)
        marks[pc.equal(table["status"], OK).to_numpy()] |= arrivals.GOOD
        if rejected.any():
            bad = table.filter(pa.array(rejected))
            kinds = np.where(is_missing(bad).to_numpy(), arrivals.MISSING, arrivals.REJECTED)
            marks[rejected] |= kinds.astype(np.uint8)
            self.rejects.update(_reasons(bad))
        self.arrivals.mark(pack(table["source_id"]), marks)

    def wait(self, table: pa.Table) -> None:
        """Count rows of sources that the next run tries again."""
        if table.num_rows:
            self._mark(table, arrivals.WAITING)
            self.waits.update(_reasons(table))

    def arrive(self, table: pa.Table) -> None:
        """Note the sources of rows, new or not."""
        self._mark(table, arrivals.ARRIVED)

    def _mark(self, table: pa.Table, mark: int) -> None:
        self.arrivals.mark(pack(table["source_id"]), np.full(table.num_rows, mark, np.uint8))

    @property
    def arrived(self) -> int:
        """Sources of which a row has come."""
        return self.arrivals.count(arrivals.ARRIVED)

    @property
    def rejected(self) -> int:
        """Sources with a rejected row, without the missing ones."""
        return self.arrivals.count(arrivals.REJECTED)

    @property
    def missing(self) -> int:
        """Sources that nobody has."""
        return self.arrivals.count(arrivals.MISSING)

    @property
    def waiting(self) -> int:
        """Sources that the next run tries again."""
        return self.arrivals.count(arrivals.WAITING)

    @property
    def bad(self) -> int:
        """Sources that are rejected or wait."""
        return self.arrivals.count(arrivals.BAD)

    def add_seconds(self, table: pa.Table, columns: Mapping[str, str]) -> None:
        """Add the seconds that stages noted in their rows; `columns` maps a stage to its column."""
        for stage, column in columns.items():
            if column in table.schema.names:
                self.stage_s[stage] += pc.sum(table[column]).as_py() or 0.0

    def add_traffic(self, table: pa.Table) -> None:
        """Add what was fetched for rows, and how often it was tried again."""
        if "retries" in table.schema.names:
            moved = (pc.sum(table[name]).as_py() or 0 for name in ("bytes_read", "retries"))
            self.traffic = self.traffic.plus(Traffic(*moved))

    def all_traffic(self) -> Traffic:
        """What workers and driver have moved for this run."""
        return self.traffic.plus(retrying.traffic().since(self.driver_before))

    def notes(self) -> dict[str, float]:
        """What a progress line shows beside the number of sources."""
        notes: dict[str, float] = {"rows": self.rows, "rejected": self.rejected}
        if self.waiting:
            notes["waiting"] = self.waiting
        if self.missing:
            notes["missing"] = self.missing
        retries = self.all_traffic().retries
        if retries:
            notes["retries"] = retries
        return notes

    def progress(self) -> dict[str, JSON]:
        """How far the run is, for whoever looks at its output."""
        done, elapsed_s = self.arrived, round(time.monotonic() - self.started, 1)
        return {"done": done, "planned": self.planned, "elapsed_s": elapsed_s, **self.notes()}

    def stages(self) -> dict[str, float]:
        """Seconds of work of each stage so far, over all workers."""
        return {stage: round(seconds, 1) for stage, seconds in self.stage_s.items()}

    def check(self, limits: LimitSettings) -> None:
        """Stop a run that is going wrong.

        What was rejected while listing comes first, all at once: it is a share of the catalog, not of what was tried.
        What is missing counts on neither side.

        Raises:
            TooManyRejectsError: When the share of rejected sources is above the limit, after the grace.
        """
        early, missing = self.rejected_early, self.missing
        self._check(self.planned - missing, early, limits)
        self._check(self.arrived - missing - early, self.bad - early, limits)

    def check_whole(self) -> None:
        """Notice sources without a row: an actor that gathered their segments died.

        Raises:
            LostSourcesError: With their number.
        """
        lost = self.planned - self.arrived
        if lost > 0:
            raise LostSourcesError(
                f"{lost} of {self.planned} sources ended without a row: a worker was lost with them. What was done is "
                "kept; the same command goes on from there"
            )

    def check_good(self) -> None:
        """Nothing made is not success.

        Raises:
            NothingMadeError: When no source of the catalog has a good row, of this run or of an earlier one.
        """
        if self.listed and not self.good_before and not self.arrivals.count(arrivals.GOOD):
            reasons = ", ".join(f"{count} x {reason}" for reason, count in self.totals().rejected.most_common(3))
            raise NothingMadeError(f"nothing could be made of any of the {self.listed} sources ({reasons})")

    def totals(self) -> Totals:
        """What the output holds now, of the newest version of each source."""
        keys, ids = self.replaced
        came = self.arrivals.of(ids)
        before = self.before.totals(keys[(came & arrivals.ARRIVED > 0) & (came & arrivals.WAITING == 0)])
        made = self.rows - self.rejects.total()
        again = self.arrivals.of(pack(list(self.before.partial))) & arrivals.ENDED > 0
        now = self.arrivals.count(arrivals.ENDED) - int(np.count_nonzero(again))
        return Totals(before.sources + now, before.good + made, before.rejected + self.rejects)

    def _check(self, tried: int, bad: int, limits: LimitSettings) -> None:
        if tried > limits.reject_grace and bad > limits.max_reject_share * tried:
            found = _without_missing(self.rejects + self.waits)
            reasons = ", ".join(f"{count} x {reason}" for reason, count in Counter(found).most_common(3))
            raise TooManyRejectsError(
                f"{bad} of {tried} sources were rejected, more than --max-reject-share {limits.max_reject_share}: "
                f"{reasons}. What was done is kept; run again with a higher share to go on."
            )

    def summary(self, output: str, status: str) -> Summary:
        """The summary as plain data."""
        seconds = time.monotonic() - self.started
        totals = self.totals()
        rejected = _without_missing(totals.rejected)
        return {
            "job": self.job,
            "status": status,
            "output": output,
            "counts": {
                "sources": self.listed,
                "sources_done_before": self.done_before,
                "sources_done_now": self.arrived,
                "sources_rejected": self.rejected,
                "sources_missing": self.missing,
                "rows_done_now": self.rows,
                "rejected_by_reason": _without_missing(self.rejects),
                "waiting_by_reason": dict(self.waits),
            },
            "totals": {
                "sources": totals.sources,
                "rows_good": totals.good,
                "rows_rejected": sum(rejected.values()),
                "rejected_by_reason": rejected,
                "sources_missing": totals.rejected[_MISSING],
                "sources_waiting": self.waiting,
            },
            "seconds": {"total": round(seconds, 2), **{k: round(v, 2) for k, v in self.stage_s.items()}},
            "storage": dataclasses.asdict(self.all_traffic()),
            "rows_per_second": round(self.rows / seconds, 3) if seconds else 0.0,
        }


def sentence(summary: Summary) -> str:
    """The summary in one or two lines."""
    counts, totals, seconds = summary["counts"], summary["totals"], summary["seconds"]
    unit = "soundtracks" if summary["job"] == "generate" else "segments"  # what has a row
    there = counts["sources_done_now"] - counts["sources_missing"]
    made = counts["rows_done_now"] - sum(counts["rejected_by_reason"].values()) - counts["sources_missing"]
    if summary["status"] == "done" and not counts["sources_done_now"]:
        what = f"nothing to do: all {counts['sources']} sources were done before"
    else:
        what = (
            f"{made} {unit} of {there} sources in {seconds['total']:.1f} s "
            f"({summary['rows_per_second']:.2f}/s), {counts['sources_done_before']} sources done before"
            f"{_listed('rejected', counts['rejected_by_reason']) or '; nothing rejected'}"
        )
    what += _listed("could not be fetched or written, and will be tried again", counts["waiting_by_reason"])
    if counts["sources_done_before"]:
        what += f"; the output holds {totals['rows_good']} {unit} of {totals['sources']} sources"
        what += _listed("rejected", totals["rejected_by_reason"])
    if totals["sources_missing"]:
        what += f"; missing: {totals['sources_missing']} sources that the listing names and nobody has"
    return f"{summary['job']}: {summary['status']}, {what} -> {summary['output']}"


def _listed(title: str, reasons: dict[str, int]) -> str:
    return f"; {title}: " + ", ".join(f"{count} x {reason}" for reason, count in reasons.items()) if reasons else ""


def _without_missing(reasons: Counter[str]) -> dict[str, int]:
    return {reason: count for reason, count in reasons.items() if reason != _MISSING}


def _reasons(rejected: pa.Table) -> list[str]:
    stages, kinds = rejected["reject_stage"].to_pylist(), rejected["reject_type"].to_pylist()
    return [f"{stage}: {kind}" for stage, kind in zip(stages, kinds, strict=True)]
