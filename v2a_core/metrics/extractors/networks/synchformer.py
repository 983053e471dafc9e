"""Synchformer: how far a sound is from its video, as one of 21 offsets.

Source: V. Iashin et al., Synchformer: Efficient Synchronization from Sparse Cues, ICASSP 2024, arXiv 2401.16423.
Checkpoint: `synchformer_state_dict.pth` of hkchengrex/MMAudio, which av-benchmark takes, under CC BY-NC 4.0; or the
same weights, `24-01-04T16-39-21.pt` of v-iashin/Synchformer, whose code is under MIT, as plain tensors.

It is used in two halves: what is seen of a video is compared with the sounds of all systems.

Shapes: S segments of a video or sound, D numbers of a token, C = 21 offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from v2a_core.metrics.desync import SEGMENTS
from v2a_core.metrics.extractors.networks import synchformer_inputs as inputs
from v2a_core.metrics.extractors.networks.sounds import Floats, Waveform, read_weights
from v2a_core.metrics.extractors.networks.synchformer_audio import AudioEncoder
from v2a_core.metrics.extractors.networks.synchformer_offsets import OffsetTransformer
from v2a_core.metrics.extractors.networks.synchformer_video import PLACES, VideoEncoder
from v2a_core.models.checkpoints import check_fit, load_exactly
from v2a_core.models.unset import UnsetWeights

_PUBLISHED = (
    "synchformer_state_dict.pth of hkchengrex/MMAudio (licence CC BY-NC 4.0: not for commercial use; the network's own "
    "code is under MIT)"
)
WIDTH = 768
_AT_ONCE = 8  # segments of a video: activations take 20 MB for each of them
_MARK = "transformer.off_head.weight"


@dataclass(frozen=True)
class Sizes:
    """How large it is.

    Attributes:
        width: Numbers of a token.
        depth: Blocks of an encoder.
        heads: Of its attention.
        joint_depth: Blocks of the transformer that compares.
        joint_heads: Of its attention.
    """

    width: int = WIDTH
    depth: int = 12
    heads: int = 12
    joint_depth: int = 3
    joint_heads: int = 8


class Eyes(nn.Module):
    """What sees; parameters have the published names.

    Args:
        sizes: Of the network.
    """

    parts: ClassVar[tuple[str, ...]] = ("vfeat_extractor.",)

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.vfeat_extractor = VideoEncoder(sizes.width, sizes.depth, sizes.heads)

    def see(self, films: Sequence[npt.NDArray[np.uint8]]) -> list[Floats]:
        """What is seen of each video, float32 (S, 8 x D): eight tokens of each segment of 0.64 s, one in 0.32 s.

        Args:
            films: RGB (F, 224, 224, 3), 25 frames a second.
        """
        return [self._see(inputs.film_segments(frames_FHWC)) for frames_FHWC in films]

    def _see(self, segments: torch.Tensor) -> Floats:
        device = self.vfeat_extractor.cls_token.device
        width = self.vfeat_extractor.cls_token.shape[-1]
        found = [np.zeros((0, PLACES * width), np.float32)]
        with torch.inference_mode():
            for some in segments.split(_AT_ONCE) if len(segments) else ():
                tokens = self.vfeat_extractor(inputs.normal(some.to(device)))
                found.append(tokens.flatten(1).float().cpu().numpy())
        return np.concatenate(found)


class Ears(nn.Module):
    """What hears, and compares with what was seen; parameters have the published names.

    Args:
        sizes: Of the network.
    """

    parts: ClassVar[tuple[str, ...]] = ("afeat_extractor.", "vproj.", "aproj.", "transformer.")

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.afeat_extractor = AudioEncoder(width, sizes.depth, sizes.heads)
        self.vproj, self.aproj = nn.Linear(width, width), nn.Linear(width, width)
        self.transformer = OffsetTransformer(width, sizes.joint_depth, sizes.joint_heads)

    @property
    def seen_numbers(self) -> int:
        """Of a segment of a video, 8 x D."""
        return PLACES * self.vproj.in_features

    def compare(self, waveforms: Sequence[Waveform], seen: Sequence[Floats]) -> list[tuple[Floats, Floats] | None]:
        """Logits of the first and of the last fourteen segments of each pair, float32 (C,) twice.

        Args:
            waveforms: Float32 (T,), at 16 kHz.
            seen: What `Eyes.see` gave of the video of each, (S, 8 x D).

        Returns:
            A pair each; None where sound or video has fewer than fourteen segments. Of one that is longer than the
            other no more is compared than both have.
        """
        return [self._compare(sound_T, video) for sound_T, video in zip(waveforms, seen, strict=True)]

    def forward(self, video_BSFD: torch.Tensor, sound_BSQD: torch.Tensor) -> torch.Tensor:
        """Logits (B, C) of fourteen segments, (B, 14, 8, D) and (B, 14, 6, D)."""
        video_BVD, sound_BUD = self.vproj(video_BSFD).flatten(1, 2), self.aproj(sound_BSQD).flatten(1, 2)
        logits: torch.Tensor = self.transformer(video_BVD, sound_BUD)
        return logits

    def _compare(self, waveform_T: Waveform, seen: Floats) -> tuple[Floats, Floats] | None:
        both = min(inputs.segments_of_samples(len(waveform_T)), len(seen))
        if both < SEGMENTS:
            return None
        device = self.aproj.weight.device
        with torch.inference_mode():
            heard_SQD = self.afeat_extractor(inputs.sound_segments(waveform_T)[:both].to(device))
            seen_SFD = torch.from_numpy(np.array(seen[:both])).to(device).unflatten(1, (PLACES, -1))
            ends = [torch.stack([tokens[:SEGMENTS], tokens[-SEGMENTS:]]) for tokens in (seen_SFD, heard_SQD)]
            first, last = self(*ends).float().cpu().numpy()
        return first, last


HalfT = TypeVar("HalfT", Eyes, Ears)


def load(kind: type[HalfT], path: Path, sizes: Sizes | None = None) -> HalfT:
    """A half of the published checkpoint; float32, eval mode, on the CPU.

    Args:
        kind: Which.
        path: The checkpoint.
        sizes: Of the network; None: the published ones.

    Raises:
        ModelError: When it cannot be read as data, is of something else, or does not fit.
    """
    network, wanted = _opened(kind, path, sizes)
    load_exactly(network, wanted, path)
    return network.eval()


def check(kind: type[HalfT], path: Path, sizes: Sizes | None = None) -> None:
    """Compare names and shapes alone; see `load`.

    Raises:
        ModelError: When it cannot be read as data, is of something else, or does not fit.
    """
    network, wanted = _opened(kind, path, sizes)
    check_fit(network, wanted, path)


def _opened(kind: type[HalfT], path: Path, sizes: Sizes | None) -> tuple[HalfT, dict[str, torch.Tensor]]:
    """The half without its weights, and all of the file that is not of the other one."""
    tensors = read_weights(path, [_MARK], "Synchformer", _PUBLISHED)
    others = Ears.parts if kind is Eyes else Eyes.parts
    with UnsetWeights():
        network = kind(sizes or Sizes())
    return network, {name: tensor for name, tensor in tensors.items() if not name.startswith(others)}
