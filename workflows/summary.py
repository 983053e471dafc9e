"""The end of every job: counts, seconds, throughput, for a person and in `summary.json`."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from v2a_core import retrying, storage
from v2a_core.retrying import Traffic
from v2a_core.schema import REJECTED
from workflows.run_config import LimitSettings


class TooManyRejectsError(RuntimeError):
    """The run rejects more sources than its limit allows."""


class LostSourcesError(RuntimeError):
    """Sources went into the chain and did not come out of it."""


@dataclass
class Tally:
    """Counts of a streaming job, kept by the driver as rows arrive.

    Attributes:
        listed: Sources of the catalog (after `--limit`).
        done_before: Sources that earlier runs had finished.
        planned: Sources of this run.
        rejected_early: Of them, those that were rejected while listing.
        expected: Names of the sources that the chain is to give rows for, by id.
    """

    job: str
    listed: int = 0
    done_before: int = 0
    planned: int = 0
    rows: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    sources: set[str] = field(default_factory=set)
    rejected_sources: set[str] = field(default_factory=set)
    rejected_early: int = 0
    expected: dict[str, str] = field(default_factory=dict)
    stage_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    traffic: Traffic = field(default_factory=Traffic)  # of the workers
    started: float = field(default_factory=time.monotonic)
    driver_before: Traffic = field(default_factory=retrying.traffic)

    def add(self, table: pa.Table) -> None:
        """Count rows that were written."""
        self.rows += table.num_rows
        self.arrive(table)
        rejected = table.filter(pc.equal(table["status"], REJECTED))
        self.rejected_sources.update(rejected["source_id"].to_pylist())
        for stage, kind in zip(rejected["reject_stage"].to_pylist(), rejected["reject_type"].to_pylist(), strict=True):
            self.rejects[f"{stage}: {kind}"] += 1

    def arrive(self, table: pa.Table) -> None:
        """Note the sources of rows, new or not."""
        self.sources.update(table["source_id"].to_pylist())

    def add_seconds(self, table: pa.Table, columns: dict[str, str]) -> None:
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

    def notes(self) -> dict[str, Any]:
        """What a progress line shows beside the number of sources."""
        notes: dict[str, Any] = {"rows": self.rows, "rejected": len(self.rejected_sources)}
        retries = self.all_traffic().retries
        if retries:
            notes["retries"] = retries
        return notes

    def stages(self) -> dict[str, float]:
        """Seconds of work of each stage so far, over all workers."""
        return {stage: round(seconds, 1) for stage, seconds in self.stage_s.items()}

    def check(self, limits: LimitSettings) -> None:
        """Stop a run that is going wrong.

        What was rejected while listing comes first, all at once: it is a share of the catalog, not of what was tried.

        Raises:
            TooManyRejectsError: When the share of rejected sources is above the limit, after the grace.
        """
        early = self.rejected_early
        self._check(self.planned, early, limits)
        self._check(len(self.sources) - early, len(self.rejected_sources) - early, limits)

    def check_whole(self) -> None:
        """Notice sources without a row: an actor that gathered their segments died.

        Raises:
            LostSourcesError: With their number.
        """
        lost = self.planned - len(self.sources)
        if lost > 0:
            raise LostSourcesError(
                f"{lost} of {self.planned} sources ended without a row: a worker was lost with them. What was done is "
                "kept; the same command goes on from there"
            )

    def _check(self, tried: int, bad: int, limits: LimitSettings) -> None:
        if tried > limits.reject_grace and bad > limits.max_reject_share * tried:
            reasons = ", ".join(f"{count} x {reason}" for reason, count in self.rejects.most_common(3))
            raise TooManyRejectsError(
                f"{bad} of {tried} sources were rejected, more than --max-reject-share {limits.max_reject_share}: "
                f"{reasons}. What was done is kept; run again with a higher share to go on."
            )

    def summary(self, output: str, status: str, **more: Any) -> dict[str, Any]:
        """The summary as plain data."""
        seconds = time.monotonic() - self.started
        return {
            "job": self.job,
            "status": status,
            "output": output,
            "counts": {
                "sources": self.listed,
                "sources_done_before": self.done_before,
                "sources_done_now": len(self.sources),
                "sources_rejected": len(self.rejected_sources),
                "rows_done_now": self.rows,
                "rejected_by_reason": dict(self.rejects),
            },
            "seconds": {"total": round(seconds, 2), **{k: round(v, 2) for k, v in self.stage_s.items()}},
            "storage": dataclasses.asdict(self.all_traffic()),
            "rows_per_second": round(self.rows / seconds, 3) if seconds else 0.0,
            **more,
        }


def finish(summary: dict[str, Any]) -> dict[str, Any]:
    """Write `summary.json` and print the line a person reads."""
    storage.write_json(storage.join(summary["output"], "summary.json"), summary)
    print(sentence(summary), flush=True)
    return summary


def sentence(summary: dict[str, Any]) -> str:
    """The summary in one or two lines."""
    counts, seconds = summary["counts"], summary["seconds"]
    unit = "segments" if summary["job"] == "embed" else "soundtracks"
    made = counts["rows_done_now"] - sum(counts["rejected_by_reason"].values())
    if summary["status"] == "done" and not counts["sources_done_now"]:
        what = f"nothing to do: all {counts['sources']} sources were done before"
    else:
        what = (
            f"{made} {unit} of {counts['sources_done_now']} sources in {seconds['total']:.1f} s "
            f"({summary['rows_per_second']:.2f}/s), {counts['sources_done_before']} sources done before"
        )
    reasons = ", ".join(f"{count} x {reason}" for reason, count in counts["rejected_by_reason"].items())
    rejected = f"; rejected: {reasons}" if reasons else "; nothing rejected"
    return f"{summary['job']}: {summary['status']}, {what}{rejected} -> {summary['output']}"
