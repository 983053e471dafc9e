"""Streaming jobs on a catalog: its sources go through the chain, and what of it is bad becomes rows all the same."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from v2a_core.catalog import source_id
from v2a_core.catalog.source import source_key
from v2a_core.outputs.ledger import Ledger
from v2a_core.protocols import JSON
from v2a_core.tables import rows
from workflows.cluster_runtime import connection
from workflows.cluster_runtime.pools import Pools, prepare_data
from workflows.streaming import plan as planning
from workflows.streaming.config import ListedJobSettings
from workflows.streaming.estimate import Estimate, estimate
from workflows.streaming.job import DryRun, Models, Plan, Request, StreamingJob
from workflows.streaming.listing import Listing, list_catalog
from workflows.streaming.plan import PlannedSource
from workflows.streaming.run import Entrance, run
from workflows.streaming.summary import Tally

Planned = Sequence[PlannedSource]


@dataclass(frozen=True)
class CatalogJob(StreamingJob[Planned]):
    """A job whose chain begins with the sources of a catalog.

    Attributes:
        settings: Its configuration.
        listing: Of the catalog.
    """

    settings: ListedJobSettings
    listing: Listing

    def plan(self, ledger: Ledger, tally: Tally) -> Plan[Planned]:
        """The sources without all of their rows, and rows for rejects of the listing that have none."""
        planned, rejected = plan_catalog(self.listing, self.settings, ledger, tally)
        return Plan(planned, self.rows().table(rejected))

    def show(self, dry: DryRun[Planned]) -> dict[str, object]:
        """Print what a run would do."""
        plan = self.planned(dry)
        print(json.dumps(plan, indent=2, ensure_ascii=False), flush=True)
        return plan

    def planned(self, dry: DryRun[Planned]) -> dict[str, object]:
        """The listing, what is left to do, storage, how the cluster would be used, and for how long."""
        connection.connect(dry.request.address)
        pools = prepare_data(self.settings.pools, self.model_stages)
        return {
            "job": self.name,
            "output": dry.request.output,
            "storage": dry.checked,
            "sources": self.listing.count,
            "by_kind": self.listing.by_kind(),
            "skipped": self.listing.skipped,
            "rejected_while_listing": len(self.listing.rejects),
            "done_before": dry.tally.done_before,
            "to_do": dry.tally.planned,
            "cluster": {name: amount for name, amount in ray.cluster_resources().items() if name in ("CPU", "GPU")},
            "workers": {name: value for name, value in dataclasses.asdict(pools).items() if name != "worker"},
            **self.shown(),
            "estimate": self._estimate(dry.plan.items, pools) if dry.plan.items else None,
        }

    def shown(self) -> dict[str, JSON]:
        """What a dry run tells of the job beside that; mostly nothing."""
        return {}

    def _estimate(self, planned: Planned, pools: Pools) -> Estimate:
        # Files of the sample end in the memory of the workers that made them.
        sampled = functools.partial(self.chain, output="memory://v2a-dry-run", pools=pools)
        return estimate(planned, sampled, self.stage_columns, pools)


def plan_catalog(
    listing: Listing, settings: ListedJobSettings, ledger: Ledger, tally: Tally
) -> tuple[list[PlannedSource], list[rows.DecodedRow]]:
    """What of a catalog an output does not hold yet: sources, and rows of what was rejected while listing.

    Args:
        listing: The catalog.
        settings: How sources are cut, of which their ids are made.
        ledger: The output.
        tally: Of this run; it learns of the plan.
    """
    ids = [source_id(source, settings.segments, settings.sampled) for source in listing.sources]
    planned = planning.plan(listing.sources, ids, ledger)
    reject_ids = [source_id(source, settings.segments, settings.sampled) for source, _ in listing.rejects]
    rejected = [
        rows.rejected_row(listing.rejects[position][0], reject_ids[position], listing.rejects[position][1])
        for position in ledger.unfinished(reject_ids)
    ]
    tally.plan(listing.count, len(planned) + len(rejected), ledger)
    tally.expected = {item.source_id: item.source.name for item in planned}
    if ledger.rows:
        tally.good_before = ledger.good_among(ids)
        ids_by_key = {source_key(item.source): item.source_id for item in planned}
        ids_by_key |= {row["source_key"]: row["source_id"] for row in rejected}
        tally.replace({key: ids_by_key[key] for key in ledger.other_versions(ids_by_key)})
    return planned, rejected


def run_catalog(
    request: Request,
    name: str,
    catalog: Sequence[str],
    settings: ListedJobSettings,
    opened: Callable[[Models, Listing], CatalogJob],
    *,
    heard: bool = False,
) -> dict[str, Any]:
    """Run a job on a catalog.

    Args:
        request: What is asked.
        name: The job's name.
        catalog: Files, folders, globs, prefixes, shards or tables.
        settings: Its configuration.
        opened: Makes the job when the catalog is listed and the models are there.
        heard: Whether its sources are sounds and videos, instead of videos and images.
    """
    entrance = Entrance(
        name,
        settings,
        inputs=catalog,
        listed=lambda limit: list_catalog(catalog, settings.catalog, limit, heard=heard),
        opened=opened,
    )
    return run(request, entrance)
