"""Stage `vae`: AutoencoderKL on log-mels, then an affine of each latent channel folded into its quant convolutions.

Shapes: B sounds, F mel frames, M mel bands, C latent channels, H and W latent frames and bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from v2a_core.miniature.audioldm import build_vae
from v2a_core.miniature.training.data import FRAMES, Sounds, load_sounds
from v2a_core.miniature.training.loop import Plan, autocast, load_weights

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

PLAN = Plan(steps=1800, batch=16, learning_rate=1.5e-3, ema=0.99)
CROP_FRAMES = 128
KL_WEIGHT = 2e-3
# Of the training mels, rounded; log-mels enter and leave the VAE as AudioLDM has them, these scale its outer layers.
MEL_MEAN, MEL_STD = -5.0, 2.0


class VaeStage:
    """See `Stage`."""

    def __init__(self, work: Path, seed: int, plan: Plan = PLAN) -> None:
        self.plan = plan
        self.train, self.held_out = load_sounds(work, seed, "train"), load_sounds(work, seed, "validation")
        self.vae = fresh_vae(seed)
        self.modules = nn.ModuleDict({"vae": self.vae})

    def losses(self, step: int, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """Error of the log-mel, of its changes in time, and a little KL."""
        rows = np.sort(rng.choice(len(self.train), self.plan.batch, replace=False))
        start = int(rng.integers(FRAMES - CROP_FRAMES + 1))
        mels_B1FM = self.train.mels(rows)[:, None, start : start + CROP_FRAMES]
        with autocast():
            posterior = self.vae.encode(mels_B1FM).latent_dist
            again_B1FM = self.vae.decode(posterior.sample()).sample
        error_B1FM = (again_B1FM.float() - mels_B1FM) / MEL_STD
        kl_BCHW = posterior.mean.float().square() + posterior.var.float() - 1 - posterior.logvar.float()
        return {
            "absolute": error_B1FM.abs().mean(),
            "square": 0.5 * error_B1FM.square().mean(),
            "change": 0.5 * error_B1FM.diff(dim=2).abs().mean(),
            "kl": KL_WEIGHT * 0.5 * kl_BCHW.mean(),
        }

    def validate(self) -> Mapping[str, float]:
        """Mean absolute error of the log-mel in nepers, and the spread of the latents."""
        mels_BFM = self.held_out.mels(np.arange(0, len(self.held_out), 5))
        latents_BCHW = encode(self.vae, mels_BFM)
        error = (decode(self.vae, latents_BCHW) - mels_BFM).abs().mean()
        return {"error": float(error), "latent_std": float(latents_BCHW.std())}


def fresh_vae(seed: int) -> AutoencoderKL:
    """A VAE that takes and gives AudioLDM's log-mels, and computes in numbers of unit size."""
    vae = build_vae(seed)
    with torch.no_grad():
        first, last = vae.encoder.conv_in, vae.decoder.conv_out
        first.weight.div_(MEL_STD)
        first.bias.sub_(MEL_MEAN * first.weight.sum(dim=(1, 2, 3)))
        last.weight.mul_(MEL_STD)
        last.bias.mul_(MEL_STD).add_(MEL_MEAN)
    return vae


@torch.no_grad()
def encode(vae: AutoencoderKL, mels_BFM: torch.Tensor, batch: int = 16) -> torch.Tensor:
    """Means of the latents, float32 (B, C, H, W)."""
    with autocast():
        parts = [vae.encode(part[:, None]).latent_dist.mean.float() for part in mels_BFM.split(batch)]
    return torch.cat(parts)


@torch.no_grad()
def decode(vae: AutoencoderKL, latents_BCHW: torch.Tensor, batch: int = 16) -> torch.Tensor:
    """Log-mels, float32 (B, F, M)."""
    with autocast():
        parts = [vae.decode(part).sample[:, 0].float() for part in latents_BCHW.split(batch)]
    return torch.cat(parts)


def load_vae(work: Path, seed: int) -> AutoencoderKL:
    """The trained VAE with unit latents, in eval mode: what is shipped, in float32."""
    vae = fresh_vae(seed)
    vae.load_state_dict(load_weights(work / "vae", "vae"))
    sounds = load_sounds(work, seed, "train")
    fold_affine(vae.eval(), sounds, 192)
    return vae


@torch.no_grad()
def fold_affine(vae: AutoencoderKL, sounds: Sounds, count: int) -> None:
    """Give each latent channel zero mean and unit spread over the training set, so that scaling_factor is 1.

    The encoder's quant_conv makes C means and C log variances; the decoder's post_quant_conv undoes the change.

    Args:
        vae: Changed in place.
        sounds: The training set.
        count: About so many of its sounds are measured.
    """
    latents_BCHW = encode(vae, sounds.mels(np.arange(0, len(sounds), max(1, len(sounds) // count))))
    mean_C, std_C = latents_BCHW.mean(dim=(0, 2, 3)), latents_BCHW.std(dim=(0, 2, 3))
    channels = len(mean_C)
    into, out = vae.quant_conv, vae.post_quant_conv
    out.bias.add_(out.weight[:, :, 0, 0] @ mean_C)
    out.weight.mul_(std_C[None, :, None, None])
    into.weight[:channels].div_(std_C[:, None, None, None])
    into.bias[:channels].sub_(mean_C).div_(std_C)
    into.bias[channels:].sub_(2 * std_C.log())


def build(work: Path, seed: int, plan: Plan = PLAN) -> VaeStage:
    """The stage, with fresh weights."""
    return VaeStage(work, seed, plan)
