"""What every network does with sounds before its front end: checks, its rate, its length, batches.

Shapes: T samples, which differ from sound to sound; B sounds of one length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from v2a_core.media.sinc_resample import sinc_resample
from v2a_core.models.checkpoints import load_tensors
from v2a_core.models.errors import ModelError

Waveform = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]

_SECONDS = 80.0  # of sound in a batch: activations of CNN14 take 40 MB for each of them


def at_rate(waveforms: Sequence[Waveform], sample_rate: int, rate: int, least: int) -> list[Waveform]:
    """Sounds as a network takes them: at its rate, padded at their end with silence to `least` samples.

    Args:
        waveforms: Float32 (T,), one channel each.
        sample_rate: Theirs, Hz.
        rate: The network's, Hz.
        least: Samples at `rate`.

    Raises:
        ValueError: For another shape or dtype, an empty sound, and samples that are not finite.
    """
    return [_padded(sinc_resample(_checked(waveform), sample_rate, rate), least) for waveform in waveforms]


def in_batches(
    forward: Callable[[torch.Tensor], tuple[torch.Tensor, ...]],
    waveforms: Sequence[Waveform],
    rate: int,
    device: torch.device,
    sizes: Sequence[int],
) -> tuple[Floats, ...]:
    """Run a network over sounds, those of one length together.

    Args:
        forward: From (B, T) on `device` to float32 arrays (B, D).
        waveforms: At `rate`, in any order of lengths.
        rate: Hz.
        device: Where the network is.
        sizes: D of each array.

    Returns:
        Float32 (len(waveforms), D) for each of `sizes`, in the order of the sounds.
    """
    found = tuple(np.empty((len(waveforms), size), np.float32) for size in sizes)
    for rows in _batches([len(waveform) for waveform in waveforms], int(_SECONDS * rate)):
        batch_BT = torch.from_numpy(np.stack([waveforms[row] for row in rows])).to(device)
        with torch.inference_mode():
            parts = forward(batch_BT)
        for whole, part in zip(found, parts, strict=True):
            whole[rows] = part.float().cpu().numpy()
    return found


def read_weights(path: Path, marks: Sequence[str], name: str, published: str) -> dict[str, torch.Tensor]:
    """The tensors of a published checkpoint.

    Args:
        path: The file.
        marks: Names that it must have to be one of this network.
        name: Of the network, for messages.
        published: The file that is meant, for messages.

    Raises:
        ModelError: When it cannot be read as data, or is of something else.
    """
    tensors = load_tensors(path)
    lacking = [mark for mark in marks if mark not in tensors]
    if lacking:
        first = ", ".join(sorted(tensors)[:3])
        raise ModelError(
            f"{path} holds no {name}: it has no tensor {lacking[0]!r} (it begins with {first}); give {published}"
        )
    return tensors


def _batches(lengths: Sequence[int], samples: int) -> Iterator[list[int]]:
    """Row numbers of sounds of one length, `samples` in all at most, but one at least."""
    same: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        same.setdefault(length, []).append(row)
    for length, rows in same.items():
        size = max(1, samples // length)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def _checked(waveform: Waveform) -> Waveform:
    if waveform.dtype != np.float32 or waveform.ndim != 1 or not len(waveform):
        raise ValueError(f"a sound is float32 (T,) of at least one sample, not {waveform.dtype} of {waveform.shape}")
    if not np.isfinite(waveform).all():
        raise ValueError("a sound has samples that are NaN or infinite")
    return waveform


def _padded(waveform: Waveform, least: int) -> Waveform:
    return np.pad(waveform, (0, max(0, least - len(waveform))))
