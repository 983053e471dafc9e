"""What a training worker tells Ray: metrics, and checkpoints that are uploaded while training goes on."""

from __future__ import annotations

import functools
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import ray.train
from ray.train import CheckpointUploadMode

from v2a_core import storage
from v2a_core.storage.trouble import StorageStopError, stop, stops_run
from v2a_core.training import kept
from workflows.training.board import CHECKPOINT_STEP, CHECKPOINTED_AT, Board

if TYPE_CHECKING:
    from v2a_core.training.history import ValidationRow
    from v2a_core.training.records import Records


class Uploads:
    """Checkpoints on their way to the output while training goes on: one at a time, or slow storage fills the disk."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._free = threading.Semaphore()

    def __enter__(self) -> Uploads:
        return self

    def __exit__(self, *error: object) -> None:
        """The last one arrives before its local files go."""
        self._free.acquire()

    def report(self, metrics: ValidationRow, folder: Path) -> None:
        """Tell Ray of a checkpoint when the one before has arrived."""
        self._free.acquire()
        ray.train.report(
            {name: value for name, value in metrics.items() if not isinstance(value, Mapping)},  # of each label
            checkpoint=ray.train.Checkpoint.from_directory(folder),
            checkpoint_upload_mode=CheckpointUploadMode.ASYNC,
            checkpoint_upload_fn=functools.partial(self._upload, metrics["step"]),
            delete_local_checkpoint_after_upload=False,  # `_upload` does, also when it fails
        )

    def _upload(self, step: int, local: ray.train.Checkpoint, name: str) -> ray.train.Checkpoint:
        try:
            kept.upload(Path(local.path), storage.join(self._output, kept.FOLDER, name), step)
        finally:
            shutil.rmtree(local.path, ignore_errors=True)
            self._free.release()
        place = ray.train.get_context().get_storage()
        return ray.train.Checkpoint(place.build_checkpoint_path_from_name(name), place.storage_filesystem)


def report(
    records: Records | None, uploads: Uploads | None, board: Board, metrics: ValidationRow, folder: Path | None
) -> None:
    """Tell Ray; from the first worker, with a checkpoint."""
    if folder is None or records is None or uploads is None:
        ray.train.report(dict(metrics))
        return
    from v2a_core.training.checkpoint import LOSSES_FILE, METRICS_FILE, read_rows

    records.write(read_rows(folder / METRICS_FILE), read_rows(folder / LOSSES_FILE))
    uploads.report(metrics, folder)
    board.put({**metrics, CHECKPOINT_STEP: metrics["step"], CHECKPOINTED_AT: time.time()})


def storage_trouble(error: ray.train.TrainingFailedError) -> StorageStopError | None:
    """What ended every attempt, where it was a full disk or the like; workers upload, Ray's controller keeps a list."""
    causes = [*getattr(error, "worker_failures", {}).values(), getattr(error, "controller_failure", None)]
    for cause in causes:
        known = getattr(cause, "_base_exc", cause)  # Ray wraps what a worker raised, with its traceback as text
        if isinstance(known, OSError) and stops_run(known, writing=True):
            return stop(known)
    return None
