"""ImageBind's towers for sounds and for videos, whose embeddings lie in one space.

Source: R. Girdhar et al., ImageBind: One Embedding Space To Bind Them All, CVPR 2023, arXiv 2305.05665; the blocks are
those of A. Dosovitskiy et al., arXiv 2010.11929. Checkpoint: `imagebind_huge.pth` of facebookresearch/ImageBind, under
CC BY-NC-SA 4.0: not for commercial use. Its towers for text, depth, heat and movement are not used.

Shapes: B clips, N tokens, D numbers of a token, E numbers of an embedding, C channels, M mel bands, F frames,
H x W pixels, T samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from v2a_core.metrics.extractors.networks import imagebind_inputs as inputs
from v2a_core.metrics.extractors.networks.perceptron import Perceptron
from v2a_core.metrics.extractors.networks.sounds import Floats, Waveform, at_rate, read_weights
from v2a_core.models.checkpoints import check_fit, load_exactly
from v2a_core.models.unset import UnsetWeights

Modality = Literal["audio", "vision"]

EMBEDDING = 1024
_EPS = 1e-6
_PATCH, _STRIDE = 16, 10  # of spectrograms
_TUBE = (2, 14, 14)  # frames, pixels
_LARGEST_SCALE = 100.0
_PARTS = ("preprocessors", "trunks", "heads", "postprocessors")
_UNUSED = ("text", "depth", "thermal", "imu")
_PUBLISHED = "imagebind_huge.pth of facebookresearch/ImageBind (licence CC BY-NC-SA 4.0: not for commercial use)"


@dataclass(frozen=True)
class Sizes:
    """How large a tower is.

    Attributes:
        width: Numbers of a token.
        depth: Blocks.
        heads: Of attention.
        embedding: Numbers of an embedding.
    """

    width: int
    depth: int
    heads: int
    embedding: int = EMBEDDING


SOUND_SIZES = Sizes(768, 12, 12)
VIDEO_SIZES = Sizes(1280, 32, 16)


class _SoundPatches(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, _PATCH, _STRIDE, bias=False)
        self.norm_layer = nn.LayerNorm(width)

    def forward(self, x_B1MF: torch.Tensor) -> torch.Tensor:
        """(B, 1, M, F) -> (B, N, D)."""
        tokens: torch.Tensor = self.norm_layer(self.proj(x_B1MF).flatten(2).transpose(1, 2))
        return tokens


class _VideoPatches(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Identity(), nn.Conv3d(3, width, _TUBE, _TUBE, bias=False))

    def forward(self, x_BCFHW: torch.Tensor) -> torch.Tensor:
        """(B, C, 2, H, W) -> (B, N, D)."""
        tokens: torch.Tensor = self.proj(x_BCFHW).flatten(2).transpose(1, 2)
        return tokens


class _Positions(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))


class _Preprocessor(nn.Module):
    """Patches become tokens, behind one for the whole, each with its place."""

    def __init__(self, patches: nn.Module, count: int, width: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.rgbt_stem = patches
        self.pos_embedding_helper = _Positions(1 + count, width)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """B clips -> (B, 1 + patches, D)."""
        tokens_BND = self.rgbt_stem(clips)
        whole_B1D = self.cls_token.expand(len(tokens_BND), -1, -1)
        return torch.cat([whole_B1D, tokens_BND], dim=1) + self.pos_embedding_helper.pos_embed


class _Block(nn.Module):
    """Attention and a perceptron, each added to what it was given, normalised."""

    def __init__(self, sizes: Sizes, bias_kv: bool) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(sizes.width, sizes.heads, add_bias_kv=bias_kv, batch_first=True)
        self.norm_1, self.norm_2 = nn.LayerNorm(sizes.width, _EPS), nn.LayerNorm(sizes.width, _EPS)
        self.mlp = Perceptron(sizes.width)

    def forward(self, x_BND: torch.Tensor) -> torch.Tensor:
        """(B, N, D) -> (B, N, D)."""
        normal_BND = self.norm_1(x_BND)
        x_BND = x_BND + self.attn(normal_BND, normal_BND, normal_BND, need_weights=False)[0]
        out: torch.Tensor = x_BND + self.mlp(self.norm_2(x_BND))
        return out


class _Trunk(nn.Module):
    """Blocks; the tower of videos normalises its tokens first, that of sounds has one more key and value a block."""

    def __init__(self, modality: Modality, sizes: Sizes) -> None:
        super().__init__()
        first = nn.LayerNorm(sizes.width, _EPS) if modality == "vision" else nn.Identity()
        self.pre_transformer_layer = nn.Sequential(first)
        self.blocks = nn.Sequential(*[_Block(sizes, bias_kv=modality == "audio") for _ in range(sizes.depth)])

    def forward(self, x_BND: torch.Tensor) -> torch.Tensor:
        """(B, N, D) -> (B, N, D)."""
        out: torch.Tensor = self.blocks(self.pre_transformer_layer(x_BND))
        return out


class _Scale(nn.Module):
    """How long embeddings of sounds are; a cosine does not see it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("log_logit_scale", torch.zeros(()))

    def forward(self, x_BE: torch.Tensor) -> torch.Tensor:
        """(B, E) -> (B, E)."""
        return self.get_buffer("log_logit_scale").exp().clamp(max=_LARGEST_SCALE) * x_BE


class _Tower(nn.Module):
    """One modality; parameters have the published names.

    Args:
        sizes: Of the tower.

    Attributes:
        modality: What the checkpoint calls it.
        published_sizes: Of the checkpoint.
    """

    modality: ClassVar[Modality]
    published_sizes: ClassVar[Sizes]

    def __init__(self, sizes: Sizes, patches: nn.Module, count: int) -> None:
        super().__init__()
        name, width = self.modality, sizes.width
        head = nn.Sequential(nn.LayerNorm(width, _EPS), nn.Identity(), nn.Linear(width, sizes.embedding, bias=False))
        scale = nn.Sequential(nn.Identity(), _Scale() if name == "audio" else nn.Identity())
        self.modality_preprocessors = nn.ModuleDict({name: _Preprocessor(patches, count, width)})
        self.modality_trunks = nn.ModuleDict({name: _Trunk(name, sizes)})
        self.modality_heads = nn.ModuleDict({name: head})
        self.modality_postprocessors = nn.ModuleDict({name: scale})

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """B clips -> (B, E), each of one length."""
        name = self.modality
        tokens_BND = self.modality_trunks[name](self.modality_preprocessors[name](clips))
        found_BE = nn.functional.normalize(self.modality_heads[name](tokens_BND[:, 0]), dim=-1)
        scaled_BE: torch.Tensor = self.modality_postprocessors[name](found_BE)
        return scaled_BE

    def means(self, items: Iterable[torch.Tensor]) -> Floats:
        """The mean embedding of each item's clips, float32 (items, E)."""
        device = next(self.parameters()).device
        with torch.inference_mode():
            found = [self(clips.to(device)).mean(dim=0).float().cpu().numpy() for clips in items]
        return np.stack(found)


class SoundTower(_Tower):
    """What hears.

    Attributes:
        sample_rate: Of the sound it takes, Hz.
    """

    sample_rate = inputs.SAMPLE_RATE
    modality: ClassVar[Modality] = "audio"
    published_sizes: ClassVar[Sizes] = SOUND_SIZES

    def __init__(self, sizes: Sizes = SOUND_SIZES) -> None:
        count = _places(inputs.MEL_BANDS) * _places(inputs.MEL_FRAMES)
        super().__init__(sizes, _SoundPatches(sizes.width), count)

    def embed(self, waveforms: Sequence[Waveform], sample_rate: int) -> dict[str, Floats]:
        """Embed N sounds; one of less than a frame (25 ms) is padded with silence.

        Args:
            waveforms: Float32 (T,), one channel each, of any lengths.
            sample_rate: Theirs, Hz; another than 16 kHz is resampled as torchaudio does.

        Returns:
            `embedding`, float32 (N, E): the mean of three clips' embeddings of one length.
        """
        sounds = at_rate(waveforms, sample_rate, inputs.SAMPLE_RATE, least=inputs.WINDOW)
        return {"embedding": self.means(inputs.sound_clips(sound_T) for sound_T in sounds)}


class VideoTower(_Tower):
    """What sees."""

    modality: ClassVar[Modality] = "vision"
    published_sizes: ClassVar[Sizes] = VIDEO_SIZES

    def __init__(self, sizes: Sizes = VIDEO_SIZES) -> None:
        super().__init__(sizes, _VideoPatches(sizes.width), (inputs.SIDE // _TUBE[1]) * (inputs.SIDE // _TUBE[2]))

    def embed(self, films: Sequence[npt.NDArray[np.uint8]]) -> dict[str, Floats]:
        """Embed N videos.

        Args:
            films: The frames of each, RGB (F, H, W, 3), the shorter side of 224 pixels.

        Returns:
            `embedding`, float32 (N, E): the mean of the embeddings of all pairs of frames in three squares.
        """
        return {"embedding": self.means(inputs.film_clips(frames_FHWC) for frames_FHWC in films)}


TowerT = TypeVar("TowerT", SoundTower, VideoTower)


def load(kind: type[TowerT], path: Path, sizes: Sizes | None = None) -> TowerT:
    """A tower of the published checkpoint; float32, eval mode, on the CPU.

    Args:
        kind: Which.
        path: The checkpoint; of the towers that are not used it may hold what it likes.
        sizes: Of the tower; None: the published ones.

    Raises:
        ModelError: When it cannot be read as data, is of something else, or does not fit.
    """
    network, wanted = _opened(kind, path, sizes)
    load_exactly(network, wanted, path)
    return network.eval()


def check(kind: type[TowerT], path: Path, sizes: Sizes | None = None) -> None:
    """Compare names and shapes alone, which leaves the file's gigabytes where they are; see `load`.

    Raises:
        ModelError: When it cannot be read as data, is of something else, or does not fit.
    """
    network, wanted = _opened(kind, path, sizes)
    check_fit(network, wanted, path)


def _opened(kind: type[TowerT], path: Path, sizes: Sizes | None) -> tuple[TowerT, dict[str, torch.Tensor]]:
    """The tower without its weights, and all of the file that is not of a tower for something else."""
    tensors = read_weights(path, [f"modality_heads.{kind.modality}.2.weight"], "ImageBind", _PUBLISHED)
    others = {*_UNUSED, "audio", "vision"} - {kind.modality}
    ignored = tuple(f"modality_{part}.{other}." for part in _PARTS for other in sorted(others))
    with UnsetWeights():
        network = kind(sizes or kind.published_sizes)
    return network, {name: tensor for name, tensor in tensors.items() if not name.startswith(ignored)}


def _places(length: int) -> int:
    return (length - _PATCH) // _STRIDE + 1
