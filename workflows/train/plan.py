"""`v2a train --dry-run`: what a training would do, and how long it would take, from a few timed steps."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from v2a_core import storage
from v2a_core.mappers import count_parameters
from v2a_core.mappers.config import MapperSettings
from v2a_core.mappers.registries import METHODS, NETWORKS
from v2a_core.tables.schema import EMBEDDING_DIM
from v2a_core.training import placement
from workflows.cluster_runtime import connection
from workflows.train.work import TrainWork
from workflows.training.config import ScalingSettings
from workflows.training.fit import uses_gpu
from workflows.training.plan import resources
from workflows.training.run import total_steps


def plan(
    given: str, beside: str | None, work: TrainWork, checked: Mapping[str, object], *, finished: bool
) -> dict[str, object]:
    """Rows by split and by reason for leaving out, parameters, steps, resources, time.

    Args:
        given: The embeddings, as a person named them.
        beside: What lies beside them; None: nothing.
        work: What would be done.
        checked: What of the storage works.
        finished: Whether the output was trained before: then there is nothing to do.
    """
    from v2a_core.training.loop import steps_per_epoch

    selection, job = work.selection, work.job
    rows = selection.counts()
    gib = placement.pair_bytes(selection, job.mapper.aggregator, EMBEDDING_DIM) / 2**30
    return {
        "job": "train",
        "embeddings": given,
        **({"beside": beside} if beside else {}),
        "output": work.output,
        "storage": checked,
        "rows": rows,
        "left_out": selection.left_out,
        "mapper": f"{job.mapper.method.kind} {job.mapper.network.kind}, {job.mapper.aggregator} frame",
        "parameters": count_parameters(job.mapper, vision_dim=selection.vision_dim),
        "mapper_parameters": _parameter_table(selection.vision_dim),
        "steps_per_epoch": steps_per_epoch(rows["train"], job.training),
        "steps": total_steps(work),
        "finished": finished,
        "placement": f"{work.placement} ({gib:.2f} GiB of pairs)",
        **resources(work),
        "estimate": None if finished else estimate(work),
    }


@dataclass(frozen=True)
class Measured:
    """Seconds that a worker took: for all rows, for a step, for a validation, and for measuring all that."""

    read_s: float
    step_s: float
    validation_s: float
    measured_s: float


def estimate(work: TrainWork) -> dict[str, float]:
    """Measure reading, a few steps and a validation in a worker like those of the run, and extrapolate."""
    from v2a_core.training import timing

    gpu, scaling = uses_gpu(work.job.scaling), work.job.scaling
    begun = time.monotonic()
    measure: Any = ray.remote(num_cpus=scaling.cpus_per_worker, num_gpus=int(gpu), max_retries=0)(_measure)
    found: Measured = ray.get(measure.remote(work, gpu))
    process_s = time.monotonic() - begun - found.measured_s
    settings, total = work.job.training, total_steps(work)
    validations = math.ceil(_epochs(work) / settings.validation.every_epochs)
    # Ray Train starts a process that watches over the workers, and when it is there, the workers.
    start_s = connection.connect_seconds() + 2 * process_s
    training_s = total * found.step_s + validations * found.validation_s
    return {
        "timed_steps": timing.STEPS,
        "start_s": round(start_s, 1),
        "read_s": round(found.read_s, 1),
        "step_s": round(found.step_s, 4),
        "validation_s": round(found.validation_s, 2),
        "seconds": round(start_s + found.read_s + training_s, 1),
    }


def _epochs(work: TrainWork) -> int:
    from v2a_core.training.loop import steps_per_epoch

    return math.ceil(total_steps(work) / steps_per_epoch(work.rows()["train"], work.job.training))


def _measure(work: TrainWork, gpu: bool) -> Measured:
    """In a worker: what a step, a validation and reading take."""
    from v2a_core.compute.threads import prepare_torch
    from v2a_core.training import timing
    from v2a_core.training.reading import read_part

    storage.set_process_default(work.access())
    prepare_torch(_threads(work.job.scaling))
    begun, selection, counts = time.monotonic(), work.selection, work.selection.counts()
    chunk = next(read_part(selection, 0, work.spaces, EMBEDDING_DIM), None)
    rows = max(1, len(chunk.targets) + chunk.incomplete + chunk.infinite) if chunk else 1
    read_s = (time.monotonic() - begun) * max(1.0, sum(selection.part_rows) / rows)
    times = timing.time_steps(
        work.job.mapper,
        work.job.training,
        rows=math.ceil(min(work.job.training.global_batch, counts["train"]) / work.job.scaling.workers),
        validation_rows=counts["validation"],
        vision_dim=selection.vision_dim,
        embedding_dim=EMBEDDING_DIM,
        device="cuda" if gpu else "cpu",
    )
    return Measured(read_s, times.step_s, times.validation_s, time.monotonic() - begun)


def _threads(scaling: ScalingSettings) -> int:
    import os

    return scaling.threads or max(1, (os.cpu_count() or 1) // scaling.workers)


def _parameter_table(vision_dim: int) -> dict[str, int]:
    """Parameters of each shipped mapper."""
    table = {}
    for method, network in itertools.product(METHODS.names(), NETWORKS.names()):
        settings = MapperSettings.model_validate({"method": {"kind": method}, "network": {"kind": network}})
        table[f"{method} {network}"] = count_parameters(settings, vision_dim=vision_dim)
    return table
