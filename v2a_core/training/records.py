"""The numbers of a run while it goes: JSON lines, TensorBoard events, Weights & Biases."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.outputs.manifest import FILE_NAME
from v2a_core.protocols import JSON
from v2a_core.training.config import RecordSettings
from v2a_core.training.history import LossRow, ValidationRow

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter
    from wandb import Run

METRICS_FILE, LOSSES_FILE = "metrics.jsonl", "losses.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


class Records:
    """Writes a run's numbers into its output; what an earlier attempt wrote is continued.

    Args:
        output: Folder or URI of the run.
        settings: Where to, besides the output.
        config: The run's configuration, for Weights & Biases.

    Raises:
        ConfigError: When Weights & Biases is asked for and not installed.
    """

    def __init__(self, output: str, settings: RecordSettings, config: Mapping[str, JSON]) -> None:
        self._output, self._settings, self._config = output, settings, config
        self._claimed = storage.exists(storage.join(output, FILE_NAME))
        self._done = -1  # the last step that the events hold
        self._stack = contextlib.ExitStack()
        self._events: SummaryWriter | None = None
        self._folder: Path | None = None
        self._wandb: Run | None = None

    def __enter__(self) -> Records:
        if self._settings.wandb_project is not None:
            self._wandb = _start_wandb(self._settings.wandb_project, self._output, self._config)
            self._stack.callback(self._wandb.finish)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def begin(self, step: int) -> None:
        """The run starts after `step`: events of later steps are of an attempt that was lost."""
        self._done = step
        if not self._settings.tensorboard:
            return
        from tensorboardX import SummaryWriter

        target = storage.join(self._output, TENSORBOARD_FOLDER)
        if storage.is_local(target):
            self._folder = Path(storage.canonical(target))
        else:
            self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="v2a-events-")))
        # The name holds the second only: a run continued at once would overwrite what it continues.
        suffix = f".{step:09d}.{uuid.uuid4().hex[:8]}"
        self._events = SummaryWriter(str(self._folder), purge_step=step + 1, filename_suffix=suffix)
        self._stack.callback(self._events.close)
        self._stack.callback(self._send_events)

    def write(self, history: Sequence[ValidationRow], losses: Sequence[LossRow]) -> None:
        """Write all rows so far; events of those that are new.

        Raises:
            StorageStopError: When the output was renamed or removed meanwhile.
        """
        if self._claimed:
            storage.check_there(self._output, FILE_NAME)
        tables: tuple[tuple[str, Sequence[ValidationRow | LossRow]], ...]
        tables = ((METRICS_FILE, history), (LOSSES_FILE, losses))
        for name, rows in tables:
            text = "".join(json.dumps(row) + "\n" for row in rows)
            storage.write_bytes(storage.join(self._output, name), text.encode())
        new = [*_new(losses, self._done, "train"), *_new(history, self._done, "validation")]
        for step, scalars in sorted(new, key=lambda item: item[0]):
            if self._events is not None:
                for name, value in scalars.items():
                    self._events.add_scalar(name, value, step)
            if self._wandb is not None:
                self._wandb.log(scalars, step=step)
        self._done = max([self._done, *(step for step, _ in new)])
        self._send_events()

    def _send_events(self) -> None:
        if self._events is None or self._folder is None:
            return
        self._events.flush()
        target = storage.join(self._output, TENSORBOARD_FOLDER)
        if not storage.is_local(target):
            for file in self._folder.iterdir():
                storage.write_bytes(storage.join(target, file.name), file.read_bytes())


def _new(rows: Sequence[ValidationRow | LossRow], done: int, group: str) -> list[tuple[int, dict[str, float]]]:
    """The rows after a step as (step, named scalars)."""
    return [
        (
            row["step"],
            {
                f"{group}/{name.removeprefix('validation_').removeprefix('train_')}": float(value)
                for name, value in row.items()
                if name not in ("step", "score") and isinstance(value, (int, float))
            },
        )
        for row in rows
        if row["step"] > done
    ]


def _start_wandb(project: str, output: str, config: Mapping[str, JSON]) -> Run:
    try:
        import wandb
    except ImportError:
        raise ConfigError("records.wandb_project needs Weights & Biases: pip install wandb") from None
    # The same output is the same run: a killed one is continued.
    identity = hashlib.sha256(output.encode()).hexdigest()[:16]
    return wandb.init(
        project=project, id=identity, name=output.rstrip("/").rsplit("/", 1)[-1], resume="allow", config=dict(config)
    )
