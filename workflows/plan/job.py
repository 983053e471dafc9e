"""From a catalog and a cluster file to a plan."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ray

from v2a_core.config import ConfigError, load
from v2a_core.protocols import JSON
from workflows.cluster_runtime import connection
from workflows.command.arguments import AskedOfCatalog
from workflows.costing import report
from workflows.costing.config import ClusterFile
from workflows.costing.forecast import Task
from workflows.costing.mix import Mix, Wish, choose
from workflows.costing.work import Work
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob
from workflows.plan.asked import Asked
from workflows.streaming.blocks import Blocks

LEAST, MOST = 8, 32  # sources of a sample, when it is not said
_NOWHERE = "memory://v2a-plan"  # an output that holds nothing


@dataclass(frozen=True)
class Plan:
    """What a job takes.

    Attributes:
        task: What was asked, with what was measured.
        cluster: The file.
        wish: By which the machines were chosen.
        mix: What was found.
        sampled_of: Sources of the catalog that are to do.
    """

    task: Task
    cluster: ClusterFile
    wish: Wish
    mix: Mix
    sampled_of: int

    def lines(self) -> Iterator[str]:
        """As text."""
        return report.lines(self.task, self.cluster, self.wish, self.mix, self.sampled_of)

    def to_dict(self) -> dict[str, JSON]:
        """As JSON."""
        best = self.mix.best
        return {
            "job": self.task.work.job,
            "sources": self.task.sources,
            "sampled_of": self.sampled_of,
            "measured": self.task.work.to_dict(),
            "assumed": {
                "bounds": self.cluster.bounds.model_dump(),
                "prices": self.cluster.prices.model_dump(),
                "currency": self.cluster.currency,
                "as_of": self.cluster.as_of,
                "pools": {name: pool.model_dump() for name, pool in self.cluster.pools.items()},
            },
            "wish": dataclasses.asdict(self.wish),
            "mixes_tried": self.mix.tried,
            "best": best.to_dict() if best else None,
            "fastest": self.mix.fastest.to_dict(),
            "cheapest": self.mix.cheapest.to_dict(),
        }


def make(asked: Asked, cluster: ClusterFile, began: float) -> Plan:
    """Measure a sample, then compute.

    Args:
        asked: What is planned.
        cluster: For which machines.
        began: When the command did, on the clock of `time.monotonic`.

    Raises:
        ConfigError: Wrong configuration, nothing to do, or machines that cannot run it.
    """
    settings: EmbedJob | GenerateJob
    if asked.job == "generate":
        settings = load(GenerateJob, job="generate", source=asked.config, overrides=asked.overrides)
    else:
        settings = load(EmbedJob, job="embed", source=asked.config, overrides=asked.overrides)
    imported_s = time.monotonic() - began
    told = _measured(asked, settings)
    work: Work | None = told["work"]
    if work is None:
        raise ConfigError("there is nothing to do: the output holds every source, or none of the catalog can be used")
    work = dataclasses.replace(work, start_s=work.start_s + imported_s + _leave())
    sources = asked.sources or told["to_do"]
    size = Blocks(settings.pools.sources_per_block).typical(sources, work.bytes_in)
    task = Task(work, sources, size, settings.pools)
    wish = Wish(asked.deadline_s, asked.budget)
    return Plan(task, cluster, wish, choose(task, cluster, wish), told["to_do"])


def _measured(asked: Asked, settings: EmbedJob | GenerateJob) -> dict[str, Any]:
    if asked.job == "embed" and (asked.mapper or asked.embeddings):
        raise ConfigError("--mapper and --embeddings are for --job generate: leave them out, or say that")
    common: AskedOfCatalog = {
        "models": asked.models,
        "limit": asked.limit,
        "dry_run": True,
        "sample": lambda sources: asked.sample or min(MOST, max(LEAST, sources // 10)),
        "address": asked.address,
    }
    output = asked.output or _NOWHERE
    if isinstance(settings, GenerateJob):
        mapper, embeddings = asked.mapper, asked.embeddings
        return generate.run(asked.catalog, output, settings, mapper=mapper, embeddings=embeddings, **common)
    return embed.run(asked.catalog, output, settings, **common)


def _leave() -> float:
    """Leave a Ray that was started for the sample, as a run does at its end; seconds."""
    if not connection.connect_seconds():
        return 0.0
    started = time.monotonic()
    ray.shutdown()
    return time.monotonic() - started
