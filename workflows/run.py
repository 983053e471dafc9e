"""The frame of every streaming job: list, stream into the writer, count, stop when it goes wrong."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.data import Dataset

from v2a_core import rows, storage
from v2a_core.catalog import CatalogSettings, Source, list_sources, source_id
from v2a_core.config import ConfigError
from v2a_core.ledger import Ledger
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.media.types import MediaError
from v2a_core.models import LocalBundle
from v2a_core.parts import PartWriter
from v2a_core.preflight import check_storage
from v2a_core.storage import StorageAccess
from v2a_core.storage_config import StorageSettings
from workflows import runtime
from workflows.metrics import RunMetrics
from workflows.progress import RunProgress
from workflows.run_config import LimitSettings
from workflows.summary import Tally


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


def describe_bundle(local: LocalBundle) -> dict[str, Any]:
    """What a manifest says of the models."""
    return {"name": local.name, "trained": local.trained, "fingerprints": local.fingerprints()}


def reach(
    catalog: Sequence[str], output: str, settings: StorageSettings, output_settings: StorageSettings | None
) -> dict[str, Any]:
    """Reach files as configured from now on, and try what the job will need.

    Returns:
        What works.

    Raises:
        ConfigError: Naming what was denied.
    """
    places = ((output, output_settings),) if output_settings else ()
    access = StorageAccess(settings, places)
    storage.use(access)
    return check_storage(catalog, output, access)


def show_plan(
    job: str,
    output: str,
    checked: dict[str, Any],
    listing: Listing,
    tally: Tally,
    pools: runtime.Pools,
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


def _workers(pools: runtime.Pools) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(pools).items() if name != "worker"}


def stream(
    job: str,
    data: Dataset | None,
    rejected: Sequence[dict[str, Any]],
    writer: PartWriter,
    tally: Tally,
    limits: LimitSettings,
    stage_columns: dict[str, str],
) -> None:
    """Run the chain and write its rows, in this process: one writer, so that a row is written once.

    Whatever ends the run, rows that have arrived are written before it ends.
    """
    try:
        with RunProgress(job, tally.planned, tally.notes, tally.stages) as bar:
            if rejected:
                tally.add(writer.add(rows.table(rejected)))
                tally.rejected_early = len(tally.rejected_sources)
                tally.check(limits)
            if data is None:
                return
            metrics = RunMetrics(job, stage_columns)
            for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
                tally.add_seconds(batch, stage_columns)
                tally.add_traffic(batch)
                written = writer.add(batch)
                tally.arrive(batch)
                tally.add(written)
                metrics.add(batch, written, tally.all_traffic())
                bar.update(len(tally.sources))
                tally.check(limits)
            tally.check_whole()
    finally:
        writer.flush()
