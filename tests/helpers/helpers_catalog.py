"""A small catalog of real files, with what a catalog in the wild has: same names twice, no sound, a broken file."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from v2a_core.media.encode import write_video
from v2a_core.models import LocalBundle

RATE = 16_000


def video(path: Path, seconds: float = 2.5, *, tone_hz: float | None = 440.0, hue: int = 0, fps: int = 8) -> Path:
    """A moving square with a tone (or without sound)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.full((round(seconds * fps), 48, 64, 3), hue % 255, np.uint8)
    for index, frame in enumerate(frames):
        frame[10:30, index % 40 : index % 40 + 20] = (255 - hue % 255, 128, hue % 255)
    times = np.arange(round(seconds * RATE)) / RATE
    tone = None if tone_hz is None else (0.3 * np.sin(2 * np.pi * tone_hz * times)).astype(np.float32)
    write_video(path, frames, fps, tone, RATE)
    return path


def still(path: Path, hue: int = 90) -> Path:
    """A picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((50, 70, 3), hue, np.uint8)).save(path)
    return path


def corrupt(path: Path) -> Path:
    """Bytes that only look like a video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 20)
    return path


def shard(path: Path, members: dict[str, Path], labels: dict[str, str] | None = None) -> Path:
    """A tar shard in the WebDataset layout."""
    with tarfile.open(path, "w") as tar:
        for key, file in members.items():
            tar.add(file, f"{key}{file.suffix}")
            note = json.dumps({"label": (labels or {}).get(key, "none")}).encode()
            info = tarfile.TarInfo(f"{key}.json")
            info.size = len(note)
            tar.addfile(info, io.BytesIO(note))
    return path


def catalog(folder: Path) -> Path:
    """Loose videos in two folders with one name, one without sound, a still, a shard, a corrupt file."""
    video(folder / "rain" / "one.mp4", hue=10)
    video(folder / "bell" / "one.mp4", hue=80, tone_hz=880)
    video(folder / "bell" / "mute & odd%20[name].mp4", 1.2, hue=150, tone_hz=None)
    still(folder / "still.png")
    corrupt(folder / "broken.mp4")
    loose = [video(folder.parent / "loose" / f"{index}.mp4", 1.0, hue=40 * index) for index in range(2)]
    shard(folder / "shard-000.tar", {f"key{index}": file for index, file in enumerate(loose)}, {"key0": "drum"})
    return folder


def random_mapper(folder: Path, local: LocalBundle, *, vision: str | None = None) -> str:
    """A small mapper with random weights between a bundle's spaces, saved as `v2a train` saves one."""
    import torch

    from v2a_core import mappers
    from v2a_core.mappers.config import MapperConfig, MapperSettings, SamplingSettings
    from v2a_core.mappers.diffusion import DiffusionSettings
    from v2a_core.mappers.export import save_mapper, save_weights
    from v2a_core.mappers.mlp import MlpSettings

    torch.manual_seed(0)
    settings = MapperSettings(
        method=DiffusionSettings(sampling=SamplingSettings(scheduler="dpm++", steps=4, eta=0.0)),
        network=MlpSettings(width=64, depth=1),
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(mappers.build(settings, vision_dim=local.vision_dim), folder / "weights.safetensors")
    spaces = {"vision_space": vision or local.vision_space, "audio_space": local.audio_space}
    config = MapperConfig(mapper=settings, vision_dim=local.vision_dim, **spaces)
    save_mapper(str(folder / "mapper"), folder / "weights.safetensors", config)
    return str(folder / "mapper")
