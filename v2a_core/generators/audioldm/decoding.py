"""From latents to waveforms: VAE and vocoder, in pieces of bounded length.

Shapes: B pieces, C latent channels, H latent frames, W latent bins, T log-mel frames, M mel bins, S samples.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from v2a_core.compute.memory import Batches
from v2a_core.generators.audioldm.components import AudioLdmParts
from v2a_core.generators.audioldm.config import TRAINED_S
from v2a_core.generators.windows import Window, blend

# The VAE gives NaN beyond about 20 s.
PIECE_S = TRAINED_S
VAE_OVERLAP_S = 0.64


@dataclass(frozen=True)
class _Piece:
    """Frames of a track that go through a network together, and those whose result is used."""

    track: int
    start: int
    stop: int
    first: int
    last: int


class LatentDecoder:
    """VAE and vocoder of an AudioLDM.

    A soundtrack of up to a piece goes through them as a whole. Of longer ones the VAE takes pieces that overlap, whose
    log-mels are blended; the vocoder, which sees a few frames around each only, takes pieces with these beside them,
    and its result is that of the whole.

    Args:
        parts: The models.
        vae_batches: Pieces that the VAE takes at once.
        vocoder_batches: Pieces that the vocoder takes at once.
    """

    def __init__(self, parts: AudioLdmParts, vae_batches: Batches, vocoder_batches: Batches) -> None:
        self._parts, self._vae_batches, self._vocoder_batches = parts, vae_batches, vocoder_batches
        self._reach = vocoder_reach(parts.vocoder.config)

    def mels(self, latents: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Log-mels, float32 (T, M) each, of latents (H, W, C), scaled as the UNet has them."""
        sizes = self._parts.geometry
        factor = sizes.vae_factor
        mels = [torch.zeros(len(item) * factor, sizes.mel_bins, device=item.device) for item in latents]
        pieces = [
            (track, window) for track, item in enumerate(latents) for window in vae_windows(len(item), sizes.frame_s)
        ]

        def run(batch: Sequence[tuple[int, Window]]) -> None:
            vae: Any = self._parts.vae
            inputs_BHWC = torch.stack([latents[track][window.start : window.stop] for track, window in batch])
            scaled_BCHW = (inputs_BHWC / vae.config.scaling_factor).to(vae.dtype).permute(0, 3, 1, 2)
            decoded_BTM = vae.decode(scaled_BCHW).sample[:, 0].float()
            for (track, window), decoded_TM in zip(batch, decoded_BTM, strict=True):
                place = slice(window.start * factor, window.stop * factor)
                weights_T = torch.from_numpy(window.weights_H).to(decoded_TM.device).repeat_interleave(factor)
                mels[track][place] += decoded_TM * weights_T[:, None]

        self._vae_batches.run(pieces, run, key=lambda piece: len(piece[1].weights_H))
        return mels

    def waveforms(self, mels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Waveforms, float32 (S,) each, of log-mels (T, M)."""
        hop = self._parts.geometry.hop_length
        made = [torch.empty(len(mel_TM) * hop, device=mel_TM.device) for mel_TM in mels]
        most = round(PIECE_S * self._parts.geometry.sample_rate / hop)
        pieces = [
            piece for track, mel_TM in enumerate(mels) for piece in _pieces(track, len(mel_TM), most, self._reach)
        ]

        def run(batch: Sequence[_Piece]) -> None:
            mels_BTM = torch.stack([mels[piece.track][piece.start : piece.stop] for piece in batch])
            for piece, waveform_S in zip(batch, self._parts.vocoder(mels_BTM), strict=True):
                used = waveform_S[(piece.first - piece.start) * hop : (piece.last - piece.start) * hop]
                made[piece.track][piece.first * hop : piece.last * hop] = used

        self._vocoder_batches.run(pieces, run, key=lambda piece: piece.stop - piece.start)
        return made


def vae_windows(frames: int, frame_s: float) -> tuple[Window, ...]:
    """Overlapping pieces of latents, all of one length, and their shares."""
    length, overlap = round(PIECE_S / frame_s), round(VAE_OVERLAP_S / frame_s)
    if frames <= length:
        return blend([0], frames, [], [])
    count = math.ceil((frames - overlap) / (length - overlap))
    starts = [round(index * (frames - length) / (count - 1)) for index in range(count)]
    borders = [(left + length + right) / 2 for left, right in itertools.pairwise(starts)]
    return blend(starts, length, borders, [overlap / 2] * len(borders))


def vocoder_reach(config: Any) -> int:
    """How many log-mel frames to either side a sample of a SpeechT5HifiGan can depend on."""
    reach, rate = 3.0, 1  # its first convolution has a kernel of 7
    widest = max(
        sum((kernel - 1) / 2 * (dilation + 1) for dilation in dilations)  # a dilated convolution, then a plain one
        for kernel, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
    )
    for factor, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
        reach += math.ceil(kernel / factor) / rate
        rate *= factor
        reach += widest / rate
    return math.ceil(reach + 3 / rate)  # so has its last one


def _pieces(track: int, frames: int, most: int, reach: int) -> list[_Piece]:
    count = max(1, math.ceil((frames - 2 * reach) / most))
    borders = [round(index * frames / count) for index in range(count + 1)]
    return [
        _Piece(track, max(0, first - reach), min(frames, last + reach), first, last)
        for first, last in itertools.pairwise(borders)
    ]
