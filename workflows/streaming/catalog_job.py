"""Streaming jobs on a catalog: its sources go through the chain, and what of it is bad becomes rows all the same."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from v2a_core.catalog import source_id
from v2a_core.compute.ids import Ids, pack
from v2a_core.outputs.commit_rate import commit_rate
from v2a_core.outputs.ledger import Ledger
from v2a_core.protocols import JSON
from v2a_core.tables import rows
from workflows.cluster_runtime import connection
from workflows.cluster_runtime.pools import Pools, prepare_data
from workflows.costing.work import Work
from workflows.streaming import plan as planning
from workflows.streaming.blocks import Blocks
from workflows.streaming.config import ListedJobSettings
from workflows.streaming.estimate import SAMPLE, Estimate, estimate, spread
from workflows.streaming.job import DryRun, Models, Plan, Request, StreamingJob
from workflows.streaming.listing import Listing, list_catalog
from workflows.streaming.plan import Names, Planned
from workflows.streaming.run import Entrance, run
from workflows.streaming.sample import Sampled, measure
from workflows.streaming.shards import shards_on_workers
from workflows.streaming.summary import Tally


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
        """Print what a run would do; of a sample that is asked for, nothing."""
        if dry.request.sample:
            return self._sampled(dry)
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
            "commit": {
                "parts_at_once": self.settings.output.threads,
                "rows_per_second_at_most": commit_rate(self.rows().schema, self.settings.output),
            },
            "workers": {name: value for name, value in dataclasses.asdict(pools).items() if name != "worker"},
            **self.shown(),
            "estimate": self._estimate(dry, pools) if dry.plan.items else None,
        }

    def shown(self) -> dict[str, JSON]:
        """What a dry run tells of the job beside that; mostly nothing."""
        return {}

    def _sampled(self, dry: DryRun[Planned]) -> dict[str, object]:
        connection.connect(dry.request.address)
        pools, count = prepare_data(self.settings.pools, self.model_stages), len(dry.plan.items)
        asked = dry.request.sample(count) if dry.request.sample else 0
        return {"to_do": count, "work": self._measure(dry, asked, pools) if count else None}

    def _estimate(self, dry: DryRun[Planned], pools: Pools) -> Estimate:
        work = self._measure(dry, SAMPLE, pools)
        return estimate(work, len(dry.plan.items), self.settings.pools, Blocks.of(pools))

    def _measure(self, dry: DryRun[Planned], sources: int, pools: Pools) -> Work:
        before_s = time.monotonic() - dry.tally.started
        sampled = Sampled(self.name, self.chain, self.rows(), pools, self.model_stages)
        return measure(spread(dry.plan.items, sources), sampled, before_s)


def plan_catalog(
    listing: Listing, settings: ListedJobSettings, ledger: Ledger, tally: Tally
) -> tuple[Planned, list[rows.DecodedRow]]:
    """What of a catalog an output does not hold yet: sources, and rows of what was rejected while listing.

    Args:
        listing: The catalog.
        settings: How sources are cut, of which their ids are made.
        ledger: The output.
        tally: Of this run; it learns of the plan.
    """
    ids = listing.sources.ids(settings.segments, settings.sampled)
    planned = planning.plan(listing.sources, ids, ledger)
    reject_ids = [source_id(source, settings.segments, settings.sampled) for source, _ in listing.rejects]
    rejected = [
        rows.rejected_row(listing.rejects[position][0], reject_ids[position], listing.rejects[position][1])
        for position in ledger.unfinished(pack(reject_ids))
    ]
    tally.plan(listing.count, len(planned) + len(rejected), ledger)
    tally.expect(planned.ids, Names(planned))
    if ledger.rows:
        tally.good_before = ledger.good_among(ids)
        keys = np.concatenate([planned.keys(), pack([row["source_key"] for row in rejected])])
        planned_ids = np.concatenate([planned.ids, pack([row["source_id"] for row in rejected])])
        tell_replaced(tally, ledger, keys, planned_ids)
    return planned, rejected


def tell_replaced(tally: Tally, ledger: Ledger, keys: Ids, planned_ids: Ids) -> None:
    """Let a tally learn of which planned sources, told by key and id, an output has another version."""
    other = ledger.other_versions(keys, planned_ids)
    tally.replace(keys[other], planned_ids[other])


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
        listed=lambda limit: list_catalog(
            catalog, settings.catalog, limit, heard=heard, shards=shards_on_workers(request.address)
        ),
        opened=opened,
    )
    return run(request, entrance)
