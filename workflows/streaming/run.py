"""The frame of every streaming job: list, stream into the writer, count, stop when it goes wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from ray.data import Dataset
from ray.exceptions import RayTaskError

from v2a_core import storage
from v2a_core.catalog import CatalogSettings, Source, list_sources, source_id
from v2a_core.catalog.source import source_key
from v2a_core.config import ConfigError
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.types import MediaError
from v2a_core.models import LocalBundle
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import Ledger
from v2a_core.outputs.manifest import BundleRecord, Manifest
from v2a_core.outputs.parts import PartWriter
from v2a_core.outputs.unfinished import Unfinished
from v2a_core.storage import StorageAccess
from v2a_core.storage.config import StorageSettings
from v2a_core.storage.preflight import check_storage
from v2a_core.storage.trouble import StorageStopError, stop, stops_run
from v2a_core.tables import rows
from v2a_core.verification.retry import forget_rejects
from workflows.cluster_runtime.counters import RunMetrics
from workflows.cluster_runtime.pools import Pools
from workflows.cluster_runtime.restarts import bound_restarts
from workflows.streaming import chain as pipeline
from workflows.streaming.config import LimitSettings
from workflows.streaming.progress import RunProgress
from workflows.streaming.summary import Tally, finish
from workflows.streaming.watchdog import watch


@dataclass(frozen=True)
class Plan:
    """What a run has to do: sources, and rows of entries that were rejected while listing."""

    sources: list[pipeline.PlannedSource]
    rejected: list[dict[str, Any]]


@dataclass(frozen=True)
class Listing:
    """A listed catalog: sources, and entries that could not become one."""

    sources: list[Source]
    rejects: list[tuple[Source, MediaError]]
    skipped: dict[str, int]

    @property
    def count(self) -> int:
        """Entries of the catalog, good or not."""
        return len(self.sources) + len(self.rejects)

    def by_kind(self) -> dict[str, int]:
        """Sources by kind."""
        return dict(Counter(source.kind for source in self.sources))

    def rejected_rows(self, ledger: Ledger, segments: SegmentSettings, frames: FrameSettings) -> list[dict[str, Any]]:
        """Rows for the entries that were rejected while listing and have none yet."""
        ids = [source_id(source, segments, frames) for source, _ in self.rejects]
        return [
            rows.rejected_row(self.rejects[position][0], ids[position], self.rejects[position][1])
            for position in ledger.unfinished(ids)
        ]


def list_catalog(catalog: Sequence[str], settings: CatalogSettings, limit: int | None) -> Listing:
    """List a catalog, at most its first `limit` entries.

    Raises:
        ConfigError: When there is nothing in it, or it does not exist.
    """
    try:
        listed = list_sources(catalog, settings)
    except (ValueError, FileNotFoundError) as error:
        raise ConfigError(str(error)) from None
    for note in listed.notes:
        print(note, file=sys.stderr, flush=True)  # on the terminal; what a plan prints is JSON
    sources, rejects = listed.sources, listed.rejects
    if limit is not None:
        sources, rejects = sources[:limit], rejects[: max(0, limit - len(sources))]
    return Listing(list(sources), list(rejects), dict(listed.skipped_reasons))


def describe_bundle(local: LocalBundle) -> BundleRecord:
    """What a manifest says of the models."""
    return {"name": local.name, "trained": local.trained, "fingerprints": local.fingerprints()}


@contextlib.contextmanager
def reach(
    catalog: Sequence[str], output: str, settings: StorageSettings, output_settings: StorageSettings | None
) -> Iterator[dict[str, Any]]:
    """Reach files as configured, in the block; first try what the job will need.

    Yields:
        What works.

    Raises:
        ConfigError: Naming what was denied.
    """
    access = StorageAccess.of_job(settings, output, output_settings)
    with storage.reach(access):
        yield check_storage(catalog, output, access)


def show_plan(
    job: str,
    output: str,
    checked: dict[str, Any],
    listing: Listing,
    tally: Tally,
    pools: Pools,
    time_needed: dict[str, Any] | None,
) -> dict[str, Any]:
    """What `--dry-run` prints: the listing, what is left to do, storage, and how the cluster would be used."""
    plan = {
        "job": job,
        "output": output,
        "storage": checked,
        "sources": listing.count,
        "by_kind": listing.by_kind(),
        "skipped": listing.skipped,
        "rejected_while_listing": len(listing.rejects),
        "done_before": tally.done_before,
        "to_do": tally.planned,
        "cluster": {name: amount for name, amount in ray.cluster_resources().items() if name in ("CPU", "GPU")},
        "workers": _workers(pools),
        "estimate": time_needed,
    }
    print(json.dumps(plan, indent=2, ensure_ascii=False), flush=True)
    return plan


def _workers(pools: Pools) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(pools).items() if name != "worker"}


def stream(
    job: str,
    data: Dataset | None,
    rejected: pa.Table,
    writer: PartWriter,
    tally: Tally,
    limits: LimitSettings,
    stage_columns: dict[str, str],
    unfinished: Unfinished,
) -> None:
    """Run the chain and write its rows, in this process: one writer, so that a row is written once.

    Whatever ends the run, rows that have arrived are written before it ends.
    """
    try:
        with RunProgress(job, tally.planned, tally.notes, tally.stages) as bar:
            if rejected.num_rows:
                final, waiting = unfinished.split(rejected)
                tally.arrive(rejected)
                tally.add(writer.add(final))
                tally.wait(waiting)
                tally.rejected_early = len(tally.rejected_sources | tally.waiting_sources)
                tally.check(limits)
            if data is None:
                return
            metrics = RunMetrics(job, stage_columns)
            bound_restarts(data)
            with watch(data, tally, limits):
                # Not a batch ahead: Ray would hold each one back until the next has come, and what hangs would keep it.
                for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                    tally.add_seconds(batch, stage_columns)
                    tally.add_traffic(batch)
                    final, waiting = unfinished.split(batch)
                    written = writer.add(final)
                    tally.arrive(batch)
                    tally.add(written)
                    tally.wait(waiting)
                    metrics.add(batch, written, tally.all_traffic())
                    bar.update(len(tally.sources))
                    tally.check(limits)
            tally.check_whole()
    except RayTaskError as error:
        raise own_error(error) from None
    except OSError as error:
        raise _storage_error(error) from None
    finally:
        try:
            writer.flush()
            unfinished.save()
        except OSError as error:
            raise _storage_error(error) from None


def _storage_error(error: OSError) -> Exception:
    return stop(error) if stops_run(error, writing=True) else error


def own_error(error: RayTaskError) -> Exception:
    """What a worker raised to stop the run, out of what Ray wraps around it; else the error itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StorageStopError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return error


def plan_work(listing: Listing, ledger: Ledger, tally: Tally, job: Any) -> Plan:
    """What of a catalog an output does not hold yet; the tally learns of it.

    Args:
        listing: The catalog.
        ledger: The output.
        tally: Of this run.
        job: The configuration, for `segments` and `frames`.
    """
    ids = [source_id(source, job.segments, job.frames) for source in listing.sources]
    planned = pipeline.plan(listing.sources, ids, ledger)
    rejected = listing.rejected_rows(ledger, job.segments, job.frames)
    tally.listed, tally.planned, tally.before = listing.count, len(planned) + len(rejected), ledger
    tally.done_before = tally.listed - tally.planned
    tally.expected = {item.source_id: item.source.name for item in planned}
    if ledger.rows:
        tally.good_before = ledger.good_among(ids)
        ids_by_key = {source_key(item.source): item.source_id for item in planned}
        ids_by_key |= {row["source_key"]: row["source_id"] for row in rejected}
        tally.replaced = {key: ids_by_key[key] for key in ledger.other_versions(ids_by_key)}
        if tally.replaced:
            print(
                f"{tally.job}: {len(tally.replaced)} sources have changed since they were done: their new versions are "
                "done now, and readers take the latest",
                flush=True,
            )
    return Plan(planned, rejected)


def retry(output: str, folder: str, stages: Sequence[str], mine: Manifest) -> None:
    """Take the rejects of some stages out of an output, so that this run tries them again.

    Raises:
        ConfigError: When the output was made differently.
    """
    if manifest.same(output, mine) is not None:
        taken = forget_rejects(output, folder, stages)
        print(f"{mine['job']}: {taken} rejects of {', '.join(stages)} are tried again", flush=True)


def conclude(
    output: str,
    made_by: Manifest,
    tally: Tally,
    writer: PartWriter,
    unfinished: Unfinished,
    **more: Any,
) -> dict[str, Any]:
    """The end of a streaming job: summary and manifest, and whether it was a success.

    Raises:
        UnfinishedError: Sources wait for the next run.
        NothingMadeError: No source of the catalog has anything good.
    """
    summary = tally.summary(output, "unfinished" if unfinished.count else "done", **more)
    manifest.close_output(output, made_by, summary, {**tally.before.parts, **writer.written})
    finish(summary)
    unfinished.check()
    tally.check_good()
    return summary
