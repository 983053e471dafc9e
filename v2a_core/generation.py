"""Gathered sources to waveforms: windows of many sources share the generator's batches."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from v2a_core import arrays, rows, soundtrack
from v2a_core.media.types import MediaError
from v2a_core.schema import OK
from v2a_core.seeds import segment_seed
from v2a_core.soundtrack import Window

Floats = npt.NDArray[np.float32]


class SoundGenerator(Protocol):
    """Conditions to sound."""

    @property
    def sample_rate(self) -> int:
        """Rate of what `generate` returns, Hz."""

    def generate(self, conditions_BD: Floats, seeds: Sequence[int], duration_s: float) -> Floats:
        """Float32 (B, round(duration_s * sample_rate)); a row that could not be made is NaN."""


@dataclass(frozen=True)
class _Task:
    """One window to generate."""

    row: int
    window: int
    condition: Floats
    seed: int
    length_s: float


def generate_waveforms(batch: pa.Table, generator: SoundGenerator, run_seed: int, crossfade_s: float) -> pa.Table:
    """Fill `waveform` and `sample_rate_hz`, drop the conditions.

    Args:
        batch: Rows of `gather.SOUNDTRACKS`; rejected rows pass.
        generator: Makes the sound of a window from its condition.
        run_seed: Seed of the run.
        crossfade_s: Overlap of neighbouring windows.
    """
    started = time.monotonic()
    windows = _windows(batch, crossfade_s)
    sounds = _generate(_tasks(batch, windows, run_seed), generator)
    joined: list[Floats | None] = []
    for row, spans in enumerate(windows):
        if spans is None:
            joined.append(None)
            continue
        pieces = [sounds[row, index] for index in range(len(spans))]
        joined.append(soundtrack.join(spans, pieces, generator.sample_rate, spans[-1].end_s))
    bad = [waveform is not None and not np.isfinite(waveform).all() for waveform in joined]
    made = [waveform if not is_bad else None for waveform, is_bad in zip(joined, bad, strict=True)]
    columns = {
        "waveform": pa.array([None if item is None else item.tobytes() for item in made], pa.large_binary()),
        "sample_rate_hz": pa.array([None if item is None else generator.sample_rate for item in made], pa.int32()),
        "seed": pa.array([None if item is None else run_seed for item in made], pa.int64()),
        "generate_s": rows.per_row_seconds(time.monotonic() - started, [item is not None for item in joined]),
    }
    batch = rows.replace(batch, columns, drop=["conditions"])
    return rows.reject_where(batch, bad, MediaError("generate", "NonFinite", "the generated sound is not finite"))


def _windows(batch: pa.Table, crossfade_s: float) -> list[list[Window] | None]:
    return [
        soundtrack.plan_windows(row["starts_s"], row["duration_s"], crossfade_s) if row["status"] == OK else None
        for row in batch.select(["starts_s", "duration_s", "status"]).to_pylist()
    ]


def _tasks(batch: pa.Table, windows: Sequence[list[Window] | None], run_seed: int) -> list[_Task]:
    conditions = arrays.read_vector_lists(batch["conditions"])
    ids = batch["segment_ids"].to_pylist()
    tasks = []
    for row, spans in enumerate(windows):
        condition = conditions[row]
        if spans is None or condition is None:
            continue
        for index, span in enumerate(spans):
            seed = segment_seed(run_seed, ids[row][index], "latents")
            tasks.append(_Task(row, index, condition[index], seed, soundtrack.grid_length_s(span.length_s)))
    return tasks


def _generate(tasks: Sequence[_Task], generator: SoundGenerator) -> dict[tuple[int, int], Floats]:
    groups: defaultdict[float, list[_Task]] = defaultdict(list)
    for task in tasks:
        groups[task.length_s].append(task)
    sounds = {}
    for length_s, group in groups.items():
        conditions = np.stack([task.condition for task in group]).astype(np.float32)
        waveforms = generator.generate(conditions, [task.seed for task in group], length_s)
        for task, waveform in zip(group, waveforms, strict=True):
            sounds[task.row, task.window] = waveform
    return sounds
