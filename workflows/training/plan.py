"""What a dry run of a training tells, beside what is of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import ray

from workflows.training.fit import uses_gpu
from workflows.training.work import Work


def show(planned: Mapping[str, object]) -> None:
    """Print a plan, or those of a sweep, as the other jobs print theirs."""
    print(json.dumps(planned, indent=2, ensure_ascii=False), flush=True)


def resources(work: Work[Any]) -> dict[str, object]:
    """The cluster, and what the workers take of it."""
    scaling = work.job.scaling
    return {
        "cluster": {name: amount for name, amount in ray.cluster_resources().items() if name in ("CPU", "GPU")},
        "workers": {
            "workers": scaling.workers,
            "cpus_per_worker": scaling.cpus_per_worker,
            "gpus_per_worker": int(uses_gpu(scaling)),
        },
    }


def schedule(work: Work[Any], rows: Mapping[str, int]) -> dict[str, object]:
    """Rows by split, and steps."""
    from v2a_core.training.loop import steps_per_epoch, total_steps

    training = work.job.training
    return {
        "rows": dict(rows),
        "steps_per_epoch": steps_per_epoch(rows["train"], training),
        "steps": total_steps(rows["train"], training),
    }
