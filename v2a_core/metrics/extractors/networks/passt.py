"""PaSST: a transformer over patches of spectrograms, a tagger of AudioSet's 527 classes at 32 kHz.

Source: K. Koutini et al., Efficient Training of Audio Transformers with Patchout, Interspeech 2022, arXiv 2110.05069;
A. Dosovitskiy et al., arXiv 2010.11929 (its blocks); H. Touvron et al., arXiv 2012.12877 (its two tokens). Checkpoint:
`passt-s-f128-p16-s10-ap.476-swa.pt` of kkoutini/PaSST, release v0.0.1-audioset.

Shapes: B sounds, T samples, K frequencies, F frames, M mel bands, P x Q patches over frequency and time, N tokens,
D numbers of a token, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from v2a_core.media.htk_mel import htk_mel_filters
from v2a_core.metrics.extractors.networks.perceptron import Perceptron
from v2a_core.metrics.extractors.networks.sounds import Floats, Waveform, at_rate, in_batches, read_weights
from v2a_core.models.checkpoints import load_exactly
from v2a_core.models.unset import UnsetWeights

SAMPLE_RATE = 32_000
SAMPLES = 10 * SAMPLE_RATE  # what it was trained on and has positions for
PRE_EMPHASIS = 0.97
WINDOW, HOP, POINTS = 800, 320, 1024
MEL_BANDS, HIGHEST_HZ = 128, 15_000.0
LOG_OFFSET, SHIFT, SCALE = 1e-5, 4.5, 5.0
WIDTH, CLASSES = 768, 527
_DEPTH, _HEADS = 12, 12
_PATCH, _STRIDE = 16, 10
_GRID = (12, 99)  # patches over frequency and time
_EPS = 1e-6
_PUBLISHED = "passt-s-f128-p16-s10-ap.476-swa.pt of PaSST v0.0.1-audioset"


class LogMel(nn.Module):
    """PaSST's spectrograms; it has no parameters."""

    def __init__(self) -> None:
        super().__init__()
        filters_KM = htk_mel_filters(SAMPLE_RATE, POINTS, MEL_BANDS, 0.0, HIGHEST_HZ)
        self.register_buffer("filters", torch.from_numpy(filters_KM).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW, periodic=False), persistent=False)

    def forward(self, waveforms_BT: torch.Tensor) -> torch.Tensor:
        """Normalised log mel power (B, M, F) of float32 (B, T)."""
        sharp = waveforms_BT[:, 1:] - PRE_EMPHASIS * waveforms_BT[:, :-1]
        spectra_BKF = torch.stft(sharp, POINTS, HOP, WINDOW, self.get_buffer("window"), return_complex=True)
        power_BKF = spectra_BKF.real.square() + spectra_BKF.imag.square()
        mel_BMF = self.get_buffer("filters").T @ power_BKF
        return ((mel_BMF + LOG_OFFSET).log() + SHIFT) / SCALE


class _Patches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, WIDTH, _PATCH, _STRIDE)


class _Attention(nn.Module):
    """Self-attention with 12 heads."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x_BND: torch.Tensor) -> torch.Tensor:
        """(B, N, D) -> (B, N, D)."""
        q_BHND, k_BHND, v_BHND = self.qkv(x_BND).unflatten(-1, (3, _HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed_BHND = nn.functional.scaled_dot_product_attention(q_BHND, k_BHND, v_BHND)
        mixed_BND: torch.Tensor = self.proj(mixed_BHND.transpose(1, 2).flatten(2))
        return mixed_BND


class _Block(nn.Module):
    """Attention and a perceptron, each added to what it was given, normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, _EPS), nn.LayerNorm(WIDTH, _EPS)
        self.attn, self.mlp = _Attention(), Perceptron(WIDTH)

    def forward(self, x_BND: torch.Tensor) -> torch.Tensor:
        """(B, N, D) -> (B, N, D)."""
        x_BND = x_BND + self.attn(self.norm1(x_BND))
        out: torch.Tensor = x_BND + self.mlp(self.norm2(x_BND))
        return out


class Passt(nn.Module):
    """The network with its front end; parameters have the published names.

    Attributes:
        sample_rate: Of the sound it takes, Hz.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self) -> None:
        super().__init__()
        self.mel = LogMel()
        self.patch_embed = _Patches()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, 2, WIDTH))
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, WIDTH, _GRID[0], 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, WIDTH, 1, _GRID[1]))
        self.blocks = nn.Sequential(*[_Block() for _ in range(_DEPTH)])
        self.norm = nn.LayerNorm(WIDTH, _EPS)
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES))
        self.head_dist = nn.Linear(WIDTH, CLASSES)  # of its training; the published forward pass leaves it out

    def forward(self, waveforms_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding (B, 768) and logits (B, 527) of waveforms of 10 s, float32 (B, 320000)."""
        patches_BDPQ = self.patch_embed.proj(self.mel(waveforms_BT)[:, None])
        patches_BDPQ = patches_BDPQ + self.time_new_pos_embed + self.freq_new_pos_embed
        tokens_12D = torch.cat([self.cls_token, self.dist_token], dim=1) + self.new_pos_embed
        tokens_BND = torch.cat(
            [tokens_12D.expand(len(waveforms_BT), -1, -1), patches_BDPQ.flatten(2).transpose(1, 2)], dim=1
        )
        embedding_BD = self.norm(self.blocks(tokens_BND)[:, :2]).mean(dim=1)
        return embedding_BD, self.head(embedding_BD)

    def embed(self, waveforms: Sequence[Waveform], sample_rate: int) -> dict[str, Floats]:
        """Embed the first 10 s of N sounds; shorter ones are padded with silence, as av-benchmark and kadtk do.

        Args:
            waveforms: Float32 (T,), one channel each, of any lengths.
            sample_rate: Theirs, Hz; another than 32 kHz is resampled as torchaudio does.

        Returns:
            `embedding`, float32 (N, 768), and `logits`, float32 (N, 527), of AudioSet's classes.
        """
        sounds = [sound[:SAMPLES] for sound in at_rate(waveforms, sample_rate, SAMPLE_RATE, least=SAMPLES)]
        device = self.cls_token.device
        embedding, logits = in_batches(self, sounds, SAMPLE_RATE, device, (WIDTH, CLASSES))
        return {"embedding": embedding, "logits": logits}


def load(path: Path) -> Passt:
    """PaSST of the published checkpoint; float32, eval mode, on the CPU.

    Raises:
        ModelError: When it cannot be read as data, is of something else, or does not fit.
    """
    marks = ("time_new_pos_embed", "freq_new_pos_embed", "blocks.11.attn.qkv.weight", "head_dist.weight")
    tensors = read_weights(path, marks, "PaSST", _PUBLISHED)
    with UnsetWeights():
        network = Passt()
    load_exactly(network, tensors, path)
    return network.eval()
