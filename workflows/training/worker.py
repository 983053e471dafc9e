"""One worker's whole training run; every worker of a run does the same on its share of the rows."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray.train
import ray.train.torch

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.storage.trouble import StorageStopError, stop, stops_run
from workflows.cluster_runtime.orphans import end_with_parent
from workflows.training.board import Board, EpochNumber
from workflows.training.config import ScalingSettings
from workflows.training.report import Uploads, report
from workflows.training.work import Ended, Here, Work

if TYPE_CHECKING:
    from v2a_core.training.loop import Trainer


def train_worker(work: Work[Any], board: Board, number: EpochNumber | None) -> Ended:
    """Train, from the last checkpoint on if there is one.

    Args:
        work: What to do.
        board: Where the first worker tells how far it is.
        number: Of the epoch that is read, where rows are streamed.
    """
    from v2a_core.compute.threads import prepare_torch
    from v2a_core.training.loop import DivergedError

    end_with_parent()
    storage.set_process_default(work.access())
    prepare_torch(_threads(work.job.scaling))
    try:
        trainer = _train(work, board, number)
    except (ConfigError, DivergedError) as error:
        return Ended(str(error), "configuration" if isinstance(error, ConfigError) else "diverged")
    except StorageStopError as error:
        return Ended(str(error), "storage")
    except OSError as error:
        if not stops_run(error, writing=True):
            raise
        return Ended(str(stop(error)), "storage")
    return Ended(trainer.stopped, "patience", trainer.continued_from)


def last_step(folder: str | None) -> int:
    """The step of a checkpoint; 0 without one."""
    from v2a_core.training.checkpoint import LOSSES_FILE, read_rows

    rows = read_rows(Path(folder) / LOSSES_FILE) if folder else []
    return int(rows[-1]["step"]) if rows else 0


def _train(work: Work[Any], board: Board, number: EpochNumber | None) -> Trainer:
    from v2a_core.training.leftovers import scratch
    from v2a_core.training.records import Records

    context = ray.train.get_context()
    with contextlib.ExitStack() as scope:
        records = uploads = local = None
        if context.get_world_rank() == 0:
            records = scope.enter_context(Records(work.output, work.job.records, work.job.model_dump()))
            local = scope.enter_context(scratch())
            uploads = scope.enter_context(Uploads(work.output))
        here = Here(
            device=str(ray.train.torch.get_device()),
            report=functools.partial(report, records, uploads, board),
            on_progress=board.put,
            scratch=local,
            rank=context.get_world_rank(),
            workers=context.get_world_size(),
            number=number,
        )
        trainer = work.trainer(here)
        last = ray.train.get_checkpoint()
        with last.as_directory() if last else contextlib.nullcontext() as folder:
            if records is not None:
                records.begin(last_step(folder))
            trainer.run(Path(folder) if folder else None)
    board.flush()
    return trainer


def _threads(scaling: ScalingSettings) -> int:
    """Torch threads of this worker. Ray limits it to the CPUs it reserved; training may use what the machine has."""
    here = ray.train.get_context().get_local_world_size()
    return scaling.threads or max(1, (os.cpu_count() or 1) // here)
