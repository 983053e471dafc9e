"""Stage `vocoder`: SpeechT5HifiGan on log-mels, without an adversary.

Shapes: B sounds, T samples, F mel frames, M mel bands, K frequencies, S spectra.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from v2a_core.miniature.audioldm import build_vocoder
from v2a_core.miniature.judge import Judge
from v2a_core.miniature.mel import HOP_LENGTH, log_mel
from v2a_core.miniature.training.data import FRAMES, load_sounds
from v2a_core.miniature.training.loop import Plan, autocast, load_weights
from v2a_core.miniature.training.oscillators import start_as_oscillators
from v2a_core.miniature.training.vae import decode, encode, load_vae
from v2a_core.miniature.world import KINDS

PLAN = Plan(steps=5000, batch=8, learning_rate=2e-3, weight_decay=0.001, ema=0.998, validate_every=500)
CROP_FRAMES = 80
# (n_fft, hop) of the spectra that must agree: short ones for clicks, long ones for tones.
RESOLUTIONS = ((256, 64), (1024, 256), (2048, 512))
FLOOR = 0.02  # magnitudes below are noise of the room; their logarithms would be most of the loss
MEL_WEIGHT = 3.0
# The VAE's mels are blurred and the UNet's more so: the vocoder hears such ones in the larger part of training.
VAE_FROM, VAE_SHARE, LATENT_NOISE = 0.4, 0.6, 0.15
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
        """Errors of spectra at several resolutions, and of the log-mel."""
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
        mel_error = (log_mel(made_BT) - log_mel(true_BT)).abs().mean()
        return {**spectral_losses(made_BT, true_BT), "mel": MEL_WEIGHT * mel_error}

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
def fresh_vocoder(seed: int, mels_BFM: torch.Tensor) -> Any:
    """A vocoder that normalises its input itself, by the mean and spread of each band; see `oscillators`."""
    vocoder = build_vocoder(seed)
    vocoder.config.normalize_before = True
    vocoder.mean.copy_(mels_BFM.mean(dim=(0, 1)))
    vocoder.scale.copy_(mels_BFM.std(dim=(0, 1)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        start_as_oscillators(vocoder, mels_BFM[:8])
    return vocoder


def spectral_losses(made_BT: torch.Tensor, true_BT: torch.Tensor) -> dict[str, torch.Tensor]:
    """Spectral convergence and L1 of log magnitudes (arXiv:1910.11480), floored magnitudes, mean of resolutions."""
    convergence, logarithm = [], []
    for n_fft, hop in RESOLUTIONS:
        window = torch.hann_window(n_fft)
        made_BKS, true_BKS = (
            torch.view_as_real(torch.stft(x_BT, n_fft, hop, window=window, return_complex=True))
            .square().sum(-1).clamp(min=1e-8).sqrt()
            for x_BT in (made_BT, true_BT)
        )  # fmt: skip
        error_B = (made_BKS - true_BKS).flatten(1).norm(dim=1) / true_BKS.flatten(1).norm(dim=1).clamp(min=1.0)
        convergence.append(error_B.mean())
        logarithm.append((made_BKS.clamp(min=FLOOR).log() - true_BKS.clamp(min=FLOOR).log()).abs().mean())
    return {"convergence": torch.stack(convergence).mean(), "magnitude": torch.stack(logarithm).mean()}


def build(work: Path, seed: int, plan: Plan = PLAN) -> VocoderStage:
    """The stage, with fresh weights."""
    return VocoderStage(work, seed, plan)
