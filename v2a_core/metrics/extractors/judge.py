"""The independent judge: which of the world's kinds a sound is, and its pitch, tempo and intensity.

Trained on real renders only; it has nothing in common with CLAP, which is why it may judge what CLAP steers.

Shapes: B sounds, T samples, F frames, M mel bands, K kinds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from v2a_core.media.log_mel import MEL_BINS, SAMPLE_RATE, level, log_mel
from v2a_core.media.resample import resample

Floats = npt.NDArray[np.float32]

WEIGHTS_FILE = "judge.safetensors"
CONFIG_FILE = "config.json"
ATTRIBUTES = ("pitch", "tempo", "intensity")
CHANNELS = (16, 32, 48, 64)
QUIET = -5.0  # what is e^5 times below the mean level of a sound is not looked at
PEAK = 0.5
BATCH = 32


class Verdicts(NamedTuple):
    """What the judge says about B sounds.

    Attributes:
        probabilities_BK: Of the kinds, in the judge's order, float32.
        attributes_B3: Pitch, tempo and intensity as heard, about 0..1, float32.
    """

    probabilities_BK: Floats
    attributes_B3: Floats


class Judge(nn.Module):
    """A small convolutional classifier of log-mels that does not hear loudness.

    Args:
        kinds: Names of the classes.
        channels: Of the convolutions; each halves time and frequency.
    """

    def __init__(self, kinds: Sequence[str], channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        self.kinds, self.channels = tuple(kinds), tuple(channels)
        # Time is halved three times only: at 80 ms the fastest ticks are still apart.
        strides = [(2, 2)] * 3 + [(1, 2)] * (len(channels) - 3)
        blocks: list[nn.Module] = []
        for before, after, stride in zip((1, *channels), channels, strides, strict=False):
            blocks += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.local = nn.Sequential(*blocks)
        features = channels[-1] * MEL_BINS // 2 ** len(channels)
        width = 2 * channels[-1]
        self.over_time = nn.Sequential(
            nn.Conv1d(features, width, 5, padding=2, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Conv1d(width, width, 5, padding=2, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(3 * width, len(self.kinds) + len(ATTRIBUTES))

    def forward(self, mels_BFM: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, K) and attributes (B, 3) of AudioLDM log-mels, float32 (B, F, 64)."""
        # The level is the mean power, so a sparse sound and its neighbour in a noisy room are treated alike.
        normal_BFM = (mels_BFM - level(mels_BFM)).clamp(min=QUIET) / 3
        local_BCFM = self.local(normal_BFM[:, None])
        series_BCF = self.over_time(local_BCFM.permute(0, 1, 3, 2).flatten(1, 2))
        pooled = torch.cat([series_BCF.mean(-1), series_BCF.std(-1, correction=0), series_BCF.amax(-1)], dim=-1)
        out = self.head(pooled)
        return out[:, : len(self.kinds)], out[:, len(self.kinds) :]

    def hear(self, waveforms_BT: Floats, sample_rate: int) -> Verdicts:
        """Judge waveforms, float32 (B, T).

        Raises:
            ValueError: When they are shorter than a tenth of a second.
        """
        if waveforms_BT.ndim != 2 or waveforms_BT.shape[1] < 0.1 * sample_rate:
            raise ValueError(
                f"waveforms of shape {waveforms_BT.shape} at {sample_rate} Hz: give (B, T) of at least 0.1 s"
            )
        low_BT = np.stack([resample(waveform, sample_rate, SAMPLE_RATE) for waveform in waveforms_BT])
        low_BT = low_BT - low_BT.mean(axis=1, keepdims=True)
        low_BT *= PEAK / (np.abs(low_BT).max(axis=1, keepdims=True) + 1e-8)
        return self.read(log_mel(torch.from_numpy(low_BT)))

    @torch.inference_mode()
    def read(self, mels_BFM: torch.Tensor) -> Verdicts:
        """Judge AudioLDM log-mels, float32 (B, F, 64)."""
        self.eval()
        said = [self(part) for part in mels_BFM.split(BATCH)]
        probabilities = torch.cat([logits for logits, _ in said]).softmax(dim=-1)
        return Verdicts(probabilities.numpy(), torch.cat([attributes for _, attributes in said]).numpy())

    def save(self, folder: Path) -> None:
        """Write weights (float16) and configuration."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        config = {"kinds": self.kinds, "channels": self.channels}
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        tensors = {name: tensor for name, tensor in self.state_dict().items() if tensor.is_floating_point()}
        save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS_FILE)


def load_judge(folder: Path) -> Judge:
    """Read a judge that `Judge.save` wrote; float32, in eval mode.

    Raises:
        FileNotFoundError: When there is none.
    """
    from safetensors.torch import load_file

    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    judge = Judge(config["kinds"], config["channels"])
    tensors = {name: tensor.float() for name, tensor in load_file(folder / WEIGHTS_FILE).items()}
    counters = {name: value for name, value in judge.state_dict().items() if not value.is_floating_point()}
    judge.load_state_dict({**counters, **tensors})
    return judge.eval()
