"""`v2a train`: embeddings -> a mapper."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from v2a_core import storage
from v2a_core.mappers import count_parameters
from v2a_core.outputs import manifest
from v2a_core.outputs.manifest import Manifest
from v2a_core.protocols import JSON
from v2a_core.storage import StorageAccess
from v2a_core.tables.schema import EMBEDDING_DIM
from v2a_core.training import placement
from v2a_core.training.beside import join
from v2a_core.training.reading import check_models, read_manifests
from v2a_core.training.selection import select
from workflows.train import plan as train_plan
from workflows.train.config import TrainJob
from workflows.train.export import export
from workflows.train.work import TrainWork
from workflows.training.run import Training, TrainRequest, identity_of, run_training
from workflows.training.summary import Checkpointed, TrainSummary, sentence


def run(
    embeddings: str,
    output: str,
    job: TrainJob,
    *,
    beside: str | None = None,
    models: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    address: str | None = None,
    steal: bool = False,
) -> dict[str, Any]:
    """Train a mapper, or go on training it, and export its best state.

    Args:
        embeddings: Folder or URI that `v2a embed` wrote.
        output: Folder or URI of the mapper; a run that was cut short there goes on from its last checkpoint.
        job: The configuration.
        beside: Folder or URI that `v2a embed --beside` wrote for them: the mapper sees with its encoder.
        models: A bundle that the embeddings must be of; None takes any.
        limit: Take the first `limit` sources only.
        dry_run: Plan and check, do nothing.
        address: A running Ray cluster; Ray starts, or is connected to, only when there is something to do.
        steal: Take the output over from the run that owns it.

    Returns:
        The summary, as written to `summary.json`; for a dry run the plan, which `v2a train` prints.

    Raises:
        ConfigError: Wrong configuration, embeddings that cannot be used, or an output that was made differently.
        TrainingStoppedError: When the training diverged (checkpoints are kept, the same command goes on from the last),
            or got no better for `validation.patience` (the best mapper is exported).
    """
    started = time.monotonic()
    with storage.reach(StorageAccess.of_job(job.storage, output, job.output_storage)):
        # Workers do not stand where the command was given.
        request = TrainRequest(storage.canonical(output), limit, dry_run, address, steal)
        return run_training(request, _open(embeddings, beside, job, models, request), started)


def _open(given: str, beside: str | None, job: TrainJob, models: str | None, request: TrainRequest) -> MapperTraining:
    embeddings, beside = storage.canonical(given), beside and storage.canonical(beside)
    made_by, sidecar = read_manifests(embeddings, beside, job.data)
    check_models(models, made_by, beside or embeddings)
    selection = join(select(embeddings, job.data, request.limit), embeddings, sidecar)
    place = placement.choose(selection, job.data, job.mapper.aggregator, EMBEDDING_DIM, job.scaling.workers)
    work = TrainWork(job, request.output, selection, made_by["spaces"], place, _cut(made_by))
    return MapperTraining(work, embeddings, given, beside, made_by)


@dataclass(frozen=True)
class MapperTraining(Training[TrainJob]):
    """Embeddings become a mapper.

    Attributes:
        embeddings: Folder or URI.
        given: The same, as a person named it.
        beside: Folder or URI of what lies beside them; None: nothing is read of any.
        made_by: Their manifest, of both.
    """

    work: TrainWork
    embeddings: str
    given: str
    beside: str | None
    made_by: Manifest

    @property
    def inputs(self) -> Sequence[str]:
        """The embeddings, and what lies beside them."""
        return [self.embeddings, *([self.beside] if self.beside else [])]

    @property
    def file(self) -> str:
        """The mapper's."""
        from v2a_core.mappers.export import WEIGHTS_FILE  # not before it is needed: it loads torch

        return WEIGHTS_FILE

    def manifest(self, request: TrainRequest) -> Manifest:
        """The embeddings, and all that decides what is learned from them."""
        job, made_by = self.work.job, self.made_by
        return manifest.new(
            self.work.name,
            identity={
                "embeddings": self.work.selection.fingerprint(),
                "spaces": made_by["spaces"],
                "limit": request.limit,
                **identity_of(job, {"data": {"placement", "worker_memory_gib"}}),
            },
            config=job.model_dump(),
            bundle=made_by.get("bundle", {}),
            spaces=made_by["spaces"],
        )

    def parameters(self) -> int:
        """Of the mapper."""
        return count_parameters(self.work.job.mapper, EMBEDDING_DIM, self.work.selection.vision_dim)

    def plan(self, checked: Mapping[str, object], *, finished: bool) -> dict[str, object]:
        """Rows, parameters, steps, resources, time."""
        return train_plan.plan(self.given, self.beside, self.work, checked, finished=finished)

    def export(self, last: Checkpointed, summary: TrainSummary, claimed: Manifest) -> None:
        """The best mapper."""
        export(last, self.work, claimed, summary, self.given, self.beside)

    def sentence(self, summary: TrainSummary) -> str:
        """How well the best mapper does."""
        return sentence(summary, "pairs", ["cosine"])


def _cut(made_by: Manifest) -> dict[str, JSON]:
    """How the embeddings were cut and sampled, for whoever uses the mapper on others."""
    identity: Mapping[str, JSON] = made_by.get("identity") or {}
    wanted = {"segments": ("length_s", "whole"), "frames": ("frames_per_second",)}
    return {
        f"{group}.{name}": manifest.group(identity, group)[name]
        for group, names in wanted.items()
        for name in names
        if name in manifest.group(identity, group)
    }
