"""Stage `unet`: the conditional diffusion model of latents, predicting v (arXiv:2202.00512).

Shapes: B sounds, C latent channels, H and W latent frames and bins, D numbers of a condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from v2a_core import storage
from v2a_core.compute.memory import Batches
from v2a_core.generators.audioldm.components import build_scheduler as build_sampler
from v2a_core.generators.audioldm.sampling import Predictor, SegmentNoise, View, denoise
from v2a_core.metrics.extractors.judge import Judge
from v2a_core.miniature.audioldm import SCHEDULER_CONFIG, build_unet
from v2a_core.miniature.training.clap import CLIP_SAMPLES, Towers, load_towers
from v2a_core.miniature.training.conditions import prepare_conditions
from v2a_core.miniature.training.data import Sounds, load_sounds
from v2a_core.miniature.training.loop import Plan, autocast, load_weights
from v2a_core.miniature.training.vae import decode, encode, load_vae
from v2a_core.miniature.world import KINDS, caption

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

PLAN = Plan(
    steps=3600, batch=32, learning_rate=8e-4, weight_decay=0.01, betas=(0.9, 0.99), ema=0.998, validate_every=400
)
SCHEDULER = {**SCHEDULER_CONFIG, "prediction_type": "v_prediction"}
SHORT_FRAMES = 32
HELD_OUT = 48
SAMPLING_STEPS, GUIDANCE = 20, 2.5


class UnetStage:
    """See `Stage`."""

    # In the first half a step sees half of each sound: nearly twice as many steps in the same time.
    short_until = 0.5

    def __init__(self, work: Path, seed: int, plan: Plan = PLAN) -> None:
        from diffusers import DDIMScheduler

        self.plan = plan
        towers, self.vae = load_towers(work, seed), load_vae(work, seed)
        self.judge = Judge(KINDS)
        self.judge.load_state_dict(load_weights(work / "judge", "judge"))
        self.sounds = load_sounds(work, seed, "train")
        self.latents_NCHW = _latents(self.sounds, self.vae, work / "unet" / "latents.npy")
        self.conditions = prepare_conditions(self.sounds, towers, work / "unet" / "conditions.npz")
        self.scheduler = DDIMScheduler(**SCHEDULER)
        self.unet = build_unet(seed)
        self.modules = nn.ModuleDict({"unet": self.unet})
        self.held_out = load_sounds(work, seed, "validation")
        self.held_out_conditions = _held_out_conditions(self.held_out, towers)

    def losses(self, step: int, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """Squared error of v at random times."""
        rows = rng.choice(len(self.latents_NCHW), self.plan.batch, replace=False)
        latents_BCHW = torch.from_numpy(self.latents_NCHW[rows]).float()
        if step < self.short_until * self.plan.steps:
            start = int(rng.integers(latents_BCHW.shape[2] - SHORT_FRAMES + 1))
            latents_BCHW = latents_BCHW[:, :, start : start + SHORT_FRAMES]
        # One time in each slice of the schedule: less noise in the loss than with independent times.
        times_B = torch.from_numpy(((np.arange(len(rows)) + rng.random(len(rows))) * 1000 / len(rows)).astype(np.int64))
        return {"v": self._error(latents_BCHW, times_B, self.conditions.draw(rows, rng))}

    def validate(self) -> Mapping[str, float]:
        """Share of kinds that the judge reads from made log-mels, and how their pitch and tempo follow."""
        kinds_B = self.held_out.kinds_N[:HELD_OUT]
        truth_B3 = self.held_out.attributes_N3[:HELD_OUT]
        numbers: dict[str, float] = {}
        for name, conditions_BD in self.held_out_conditions.items():
            verdicts = self.judge.read(self._make(conditions_BD))
            numbers[f"accuracy_{name}"] = float((verdicts.probabilities_BK.argmax(axis=1) == kinds_B).mean())
            for i, attribute in enumerate(("pitch", "tempo")):
                found = np.corrcoef(verdicts.attributes_B3[:, i], truth_B3[:, i])[0, 1]
                numbers[f"{attribute}_{name}"] = float(found)
        return numbers

    def _error(self, latents_BCHW: torch.Tensor, times_B: torch.Tensor, conditions_BD: torch.Tensor) -> torch.Tensor:
        noise_BCHW = torch.randn_like(latents_BCHW)
        noisy_BCHW = self.scheduler.add_noise(latents_BCHW, noise_BCHW, times_B)
        wanted_BCHW = self.scheduler.get_velocity(latents_BCHW, noise_BCHW, times_B)
        # Of so few latents, attention written out is learned faster than the fused kernel of CPUs.
        with autocast(), sdpa_kernel(SDPBackend.MATH):
            made_BCHW = self.unet(noisy_BCHW, times_B, encoder_hidden_states=None, class_labels=conditions_BD).sample
        error: torch.Tensor = (made_BCHW.float() - wanted_BCHW).square().mean()
        return error

    def _make(self, conditions_BD: torch.Tensor) -> torch.Tensor:
        """Log-mels (B, F, M), as the generator makes them."""
        count, (channels, frames, bins) = len(conditions_BD), self.latents_NCHW.shape[1:]
        predict = Predictor(
            self.unet,
            torch.float32,
            [View(row * frames, frames, None, row) for row in range(count)],
            conditions_BD,
            self.conditions.null_D.expand_as(conditions_BD),
            GUIDANCE,
            Batches("scene", count, "cpu"),
        )
        noise = SegmentNoise([frames] * count, range(count), channels, bins, "cpu")
        scheduler = build_sampler("dpm-solver++", SCHEDULER)
        with autocast():
            tape_HWC = denoise(predict, scheduler, noise, num_inference_steps=SAMPLING_STEPS, eta=0.0)
        return decode(self.vae, tape_HWC.reshape(count, frames, bins, channels).permute(0, 3, 1, 2))


def _latents(sounds: Sounds, vae: AutoencoderKL, cache: Path) -> npt.NDArray[np.float16]:
    """Latents of the training set, float16 (N, C, H, W), computed once."""
    if not cache.is_file():
        latents_NCHW = np.concatenate([encode(vae, sounds.mels(rows)).half().numpy() for rows in sounds.pieces()])
        with storage.writing(str(cache)) as path:
            np.save(path, latents_NCHW)
    latents: npt.NDArray[np.float16] = np.load(cache)
    return latents


@torch.no_grad()
def _held_out_conditions(sounds: Sounds, towers: Towers) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(0)
    texts = [caption(sounds.scenes[row].heard, rng) for row in range(HELD_OUT)]
    waveforms_BT = sounds.waveforms(np.arange(HELD_OUT))[:, :CLIP_SAMPLES]
    return {"sound": towers.embed_waveforms(waveforms_BT), "text": towers.embed_text(texts)}


def build(work: Path, seed: int, plan: Plan = PLAN) -> UnetStage:
    """The stage, with fresh weights."""
    return UnetStage(work, seed, plan)
