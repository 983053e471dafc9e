"""The world as training data: scenes, their waveforms and log-mels, rendered once into memory-mapped files.

Shapes: N scenes, T samples, F mel frames, M mel bands.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from v2a_core import storage
from v2a_core.media.log_mel import HOP_LENGTH, MEL_BINS, SAMPLE_RATE, log_mel
from v2a_core.miniature.world import KINDS, Happening, Scene, WorldSettings, render_sound, sample
from v2a_core.miniature.world.happenings import UNRELATED
from v2a_core.miniature.world.scenes import Split

Floats = npt.NDArray[np.float32]

# One more than the world's: the unrelated music that is heard in noisy pairs.
HEARD = (*KINDS, UNRELATED)
FRAMES = 512  # 5.12 s: what the UNet is trained on, and what it makes for a segment of 5 s
SAMPLES = FRAMES * HOP_LENGTH
COUNTS: dict[Split, int] = {"train": 6000, "validation": 480}
SHARD = 240  # scenes a file: what is lost when rendering is killed
FULL_SCALE = 32767  # of int16
PEAK = 0.5  # as AudioLDM scales its training waveforms


@dataclass(frozen=True)
class Sounds:
    """The sounds of a split.

    Attributes:
        scenes: N scenes.
        waveforms_NT: Int16 at 16 kHz, mean removed, peak 0.5 of full scale; as AudioLDM's `normalize_wav`.
        mels_NFM: Float16 log-mels of them.
        kinds_N: Index in `HEARD` of what is heard.
        attributes_N3: Pitch, tempo and intensity of what is heard, float32.
    """

    scenes: tuple[Scene, ...]
    waveforms_NT: npt.NDArray[np.int16]
    mels_NFM: npt.NDArray[np.float16]
    kinds_N: npt.NDArray[np.int64]
    attributes_N3: Floats

    def __len__(self) -> int:
        return len(self.scenes)

    def pieces(self) -> list[npt.NDArray[np.int64]]:
        """The numbers of all rows, int64, in pieces (up to 240,) that fit into memory."""
        return np.array_split(np.arange(len(self)), max(1, len(self) // 240))

    def waveforms(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Float32 (len(rows), T), -1..1."""
        return self.waveforms_NT[rows].astype(np.float32) / FULL_SCALE

    def mels(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        """Float32 (len(rows), F, M)."""
        return torch.from_numpy(self.mels_NFM[rows]).float()


def attributes(happening: Happening) -> Floats:
    """Pitch, tempo and intensity, float32 (3,)."""
    return np.array([happening.pitch, happening.tempo, happening.intensity], np.float32)


def world(seed: int) -> WorldSettings:
    """The world that is trained on."""
    return WorldSettings(seed=seed)


def prepare_files(work: Path, seed: int) -> None:
    """Make the empty files that `render_sounds` fills, once, before processes do so side by side.

    Raises:
        ValueError: When the folder holds renders of another world.
    """
    _same_world(work, seed)
    for split, count in COUNTS.items():
        shapes = {"waveforms": (np.int16, (count, SAMPLES)), "mels": (np.float16, (count, FRAMES, MEL_BINS))}
        for what, (dtype, shape) in shapes.items():
            path = _file(work, split, what)
            if not path.is_file():
                with storage.writing(str(path)) as temporary:
                    np.lib.format.open_memmap(temporary, "w+", dtype, shape).flush()


def render_sounds(work: Path, seed: int, part: int, parts: int) -> None:
    """Render the shards number `part`, `part + parts`, ... of all splits; those that are there are kept."""
    for split, count in COUNTS.items():
        waveforms_NT = np.load(_file(work, split, "waveforms"), mmap_mode="r+")
        mels_NFM = np.load(_file(work, split, "mels"), mmap_mode="r+")
        for start in range(part * SHARD, count, parts * SHARD):
            done = work / "rendered" / f"{split}-{start:06d}"
            if done.is_file():
                continue
            rows = slice(start, min(start + SHARD, count))
            scenes = [sample(world(seed), split, row) for row in range(rows.start, rows.stop)]
            waveforms_NT[rows] = np.stack([training_waveform(scene) for scene in scenes])
            mels_NFM[rows] = log_mel(torch.from_numpy(waveforms_NT[rows] / np.float32(FULL_SCALE))).numpy()
            waveforms_NT.flush()
            mels_NFM.flush()
            storage.write_bytes(str(done), b"")
            print(f"sounds: {split} {rows.start}..{rows.stop} of {count}", flush=True)


def load_sounds(work: Path, seed: int, split: Split) -> Sounds:
    """The rendered sounds of a split."""
    scenes = tuple(sample(world(seed), split, row) for row in range(COUNTS[split]))
    waveforms_NT = np.load(_file(work, split, "waveforms"), mmap_mode="r")
    mels_NFM = np.load(_file(work, split, "mels"), mmap_mode="r")
    kinds_N = np.array([HEARD.index(scene.heard.kind) for scene in scenes])
    return Sounds(scenes, waveforms_NT, mels_NFM, kinds_N, np.stack([attributes(scene.heard) for scene in scenes]))


def _file(work: Path, split: Split, what: str) -> Path:
    return work / f"{split}-{what}.npy"


def training_waveform(scene: Scene) -> npt.NDArray[np.int16]:
    """The sound of a scene as models are trained on it: 16 kHz, mean removed, peak 0.5 of full scale, int16 (T,)."""
    waveform = render_sound(scene, length_s=SAMPLES / SAMPLE_RATE, sample_rate=SAMPLE_RATE)
    waveform = waveform - waveform.mean()
    samples: npt.NDArray[np.int16] = np.round(waveform * (PEAK * FULL_SCALE / (np.abs(waveform).max() + 1e-8))).astype(
        np.int16
    )
    return samples


def _same_world(work: Path, seed: int) -> None:
    """Renders of an older world must not be mixed with those of a newer one."""
    path = work / "world.json"
    now = {"seed": seed, "samples": SAMPLES, "counts": COUNTS, "probes": _probes(seed)}
    if not path.is_file():
        storage.write_json(str(path), now)
    elif json.loads(path.read_text(encoding="utf-8")) != now:
        raise ValueError(f"{work} holds training data of another world or seed: give another work folder")


@functools.cache
def _probes(seed: int) -> list[float]:
    """Numbers that change when the world's sounds change: the level of one of each kind."""
    scenes = [sample(world(seed), "validation", index) for index in range(len(KINDS))]
    return [round(float(np.abs(render_sound(scene, length_s=1.0)).mean()), 4) for scene in scenes]
