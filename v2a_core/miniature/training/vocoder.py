"""Stage `vocoder`: SpeechT5HifiGan on log-mels, without an adversary.

Shapes: B sounds, T samples, F mel frames, M mel bands, K frequencies, S spectra.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from v2a_core.media.log_mel import HOP_LENGTH, level, log_mel
from v2a_core.metrics.extractors.judge import Judge
from v2a_core.miniature.audioldm import build_vocoder
from v2a_core.miniature.seeded import seeded
from v2a_core.miniature.training.data import FRAMES, load_sounds
from v2a_core.miniature.training.loop import Plan, autocast, load_weights
from v2a_core.miniature.training.oscillators import start_as_oscillators
from v2a_core.miniature.training.vae import decode, encode, load_vae
from v2a_core.miniature.world import KINDS

if TYPE_CHECKING:
    from transformers import SpeechT5HifiGan

# At a higher rate the first steps ruin the oscillators, and tones stay 20 dB too quiet to the end.
PLAN = Plan(steps=8000, restart=5000, batch=8, learning_rate=5e-4, weight_decay=0.001, ema=0.998, validate_every=1000)
CROP_FRAMES = 80
# (n_fft, hop) of the spectra that must agree: short windows, for clicks. Long ones would tell a tone from its
# neighbour, and a vocoder that repeats itself with every hop (see `oscillators`) has one only each 100 Hz to offer: it
# would learn silence, the smaller error. Log-mels are compared as they are and, with more weight, blurred over bands.
RESOLUTIONS = ((256, 64), (512, 128))
BLUR = (1.0, 2.0, 3.0, 2.0, 1.0)
MEL_WEIGHT, BLURRED_WEIGHT = 1.0, 2.0
FLOOR = 0.02  # magnitudes below are noise of the room; their logarithms would be most of the loss
QUIET = -6.0  # and so is what is e^6 below the level of a sound
# The VAE's mels are blurred and the UNet's more so: the vocoder hears such ones in the larger part of training.
VAE_FROM, VAE_SHARE, LATENT_NOISE = 0.25, 0.6, 0.15
HELD_OUT = 120


class VocoderStage:
    """See `Stage`."""

    def __init__(self, work: Path, seed: int, plan: Plan = PLAN) -> None:
        self.plan = plan
        self.train, self.held_out = load_sounds(work, seed, "train"), load_sounds(work, seed, "validation")
        self.vae = load_vae(work, seed).requires_grad_(False)
        self.judge = Judge(KINDS)
        self.judge.load_state_dict(load_weights(work / "judge", "judge"))
        self.vocoder = fresh_vocoder(seed, self.train.mels(np.arange(0, len(self.train), 20)))
        self.modules = nn.ModuleDict({"vocoder": self.vocoder})

    def losses(self, step: int, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """Errors of spectra at several resolutions, and of log-mels."""
        rows = np.sort(rng.choice(len(self.train), self.plan.batch, replace=False))
        start = int(rng.integers(FRAMES - CROP_FRAMES + 1))
        frames = slice(start, start + CROP_FRAMES)
        mels_BFM = self.train.mels(rows)[:, frames]
        waveforms_NT = self.train.waveforms(rows)[:, start * HOP_LENGTH : frames.stop * HOP_LENGTH]
        true_BT = torch.from_numpy(waveforms_NT)
        through_vae = step > VAE_FROM * self.plan.steps and rng.random() < VAE_SHARE
        given_BFM = self._through_vae(mels_BFM, float(rng.uniform(0, LATENT_NOISE))) if through_vae else mels_BFM
        with autocast():
            made_BT = self.vocoder(given_BFM)
        made_BT = made_BT.float()
        return {**spectral_losses(made_BT, true_BT), **mel_losses(log_mel(made_BT), log_mel(true_BT))}

    def validate(self) -> Mapping[str, float]:
        """Whether the judge still recognises real sounds through the vocoder, and through VAE and vocoder."""
        rows = np.arange(HELD_OUT)
        mels_BFM, kinds_B = self.held_out.mels(rows), self.held_out.kinds_N[rows]
        again_BFM = decode(self.vae, encode(self.vae, mels_BFM))
        numbers = {}
        for name, given_BFM in (("accuracy", mels_BFM), ("accuracy_vae", again_BFM)):
            made_BT = torch.cat([self.vocoder(part) for part in given_BFM.split(8)])
            made_BFM = log_mel(made_BT)
            numbers[name] = float((self.judge.read(made_BFM).probabilities_BK.argmax(axis=1) == kinds_B).mean())
            numbers[name.replace("accuracy", "mel_error")] = float((made_BFM - mels_BFM).abs().mean())
        return numbers

    def _through_vae(self, mels_BFM: torch.Tensor, noise: float) -> torch.Tensor:
        latents_BCHW = encode(self.vae, mels_BFM)
        return decode(self.vae, latents_BCHW + noise * torch.randn_like(latents_BCHW))


@torch.no_grad()
def fresh_vocoder(seed: int, mels_BFM: torch.Tensor) -> SpeechT5HifiGan:
    """A vocoder that normalises its input itself, by the mean and spread of each band; see `oscillators`.

    Args:
        seed: Of the weights that are no part of an oscillator.
        mels_BFM: Log-mels by which mean, spread and level are set, float32 (B, F, M).
    """
    vocoder = build_vocoder(seed)
    vocoder.config.normalize_before = True
    vocoder.mean.copy_(mels_BFM.mean(dim=(0, 1)))
    vocoder.scale.copy_(mels_BFM.std(dim=(0, 1)))
    with seeded(seed):
        start_as_oscillators(vocoder, mels_BFM[:8])
    return vocoder


def spectral_losses(made_BT: torch.Tensor, true_BT: torch.Tensor) -> dict[str, torch.Tensor]:
    """L1 of log magnitudes (arXiv:1910.11480), floored, mean of resolutions; of waveforms (B, T)."""
    logarithm = []
    for n_fft, hop in RESOLUTIONS:
        window = torch.hann_window(n_fft)
        made_BKS, true_BKS = (
            torch.view_as_real(torch.stft(x_BT, n_fft, hop, window=window, return_complex=True))
            .square().sum(-1).clamp(min=FLOOR**2).log()
            for x_BT in (made_BT, true_BT)
        )  # fmt: skip
        logarithm.append(0.5 * (made_BKS - true_BKS).abs().mean())
    return {"magnitude": torch.stack(logarithm).mean()}


def mel_losses(made_BFM: torch.Tensor, true_BFM: torch.Tensor) -> dict[str, torch.Tensor]:
    """L1 of log-mels (B, F, M), and of log-mels whose power is blurred over bands."""
    floor_B11 = level(true_BFM) + QUIET
    made_BFM, true_BFM = (torch.maximum(x_BFM, floor_B11) for x_BFM in (made_BFM, true_BFM))
    sharp = (made_BFM - true_BFM).abs().mean()
    blurred = (_blur(made_BFM) - _blur(true_BFM)).abs().mean()
    return {"mel": MEL_WEIGHT * sharp, "blurred": BLURRED_WEIGHT * blurred}


def _blur(mels_BFM: torch.Tensor) -> torch.Tensor:
    kernel = torch.tensor(BLUR)[None, None] / sum(BLUR)
    power_N1M = (2 * mels_BFM).exp().flatten(0, 1)[:, None]
    blurred_NM = nn.functional.conv1d(nn.functional.pad(power_N1M, (2, 2), "replicate"), kernel)[:, 0]
    blurred_BFM: torch.Tensor = 0.5 * blurred_NM.unflatten(0, mels_BFM.shape[:2]).log()
    return blurred_BFM


def build(work: Path, seed: int, plan: Plan = PLAN) -> VocoderStage:
    """The stage, with fresh weights."""
    return VocoderStage(work, seed, plan)
