"""Stage `envelope`: the adapter that makes the finished generator follow a curve in time.

It is trained on a bundle as it is shipped, on sounds alone; the bundle's models stay as they are. Of a sound, its
embedding and its envelope, the UNet shall predict what it always does; all that it learns of moments comes from the
envelope.

Shapes: N sounds, B sounds of a step, C latent channels, H and W latent frames and bins, K channels of a curve, F values
of it, D numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from v2a_core import storage
from v2a_core.encoders import EncoderSettings, build_audio
from v2a_core.generators.audioldm.adapter import EnvelopeAdapter, added, entries_of, stride_of
from v2a_core.generators.audioldm.components import AudioLdmParts, as_source, build_scheduler, load_parts
from v2a_core.generators.audioldm.text import TextEmbedder
from v2a_core.media.log_mel import SAMPLE_RATE, log_mel
from v2a_core.media.resample import clap_waveform
from v2a_core.miniature.seeded import seeded
from v2a_core.miniature.training.clap import CLIP_SAMPLES
from v2a_core.miniature.training.conditions import with_noise
from v2a_core.miniature.training.data import FULL_SCALE, training_waveform, world
from v2a_core.miniature.training.loop import Plan, autocast
from v2a_core.miniature.training.vae import encode
from v2a_core.miniature.world.scenes import Split, sample
from v2a_core.models import LocalBundle
from v2a_core.timing.envelope import envelope, onset_bumps, rises

Floats = npt.NDArray[np.float32]

NAME = "envelope"
PLAN = Plan(
    steps=640, batch=16, learning_rate=1e-3, warmup=30, weight_decay=0.01, betas=(0.9, 0.99), ema=0.99,
    validate_every=160,
)  # fmt: skip
WIDTH = 96
SOUNDS, HELD_OUT = 2400, 48
AT_ONCE = 16
# What is followed later is less sharp than the envelope of a sound: drawn by hand, or guessed from pictures.
SMOOTH_SHARE, WIDEST = 0.5, 13
# Onsets are mostly those of the sound; of these shares they are read from the level, or nobody says them.
FROM_LEVEL_SHARE, UNSAID_SHARE = 0.15, 0.15
# One in ten has the condition of the empty text, as when the UNet was trained.
NULL_SHARE = 0.1


class EnvelopeStage:
    """See `Stage`.

    Args:
        work: Folder of what is computed once: latents, embeddings and curves.
        seed: Of the world and the weights.
        local: The bundle.
        plan: How long and how fast.
    """

    def __init__(self, work: Path, seed: int, local: LocalBundle, plan: Plan = PLAN) -> None:
        self.plan = plan
        self.parts = load_parts(local.generator_path, "cpu", torch.float32)
        self.adapter = _fresh(self.parts, seed)
        self.modules = nn.ModuleDict({"adapter": self.adapter})
        scheduler = build_scheduler("ddim", self.parts.scheduler_config)
        self._scheduler, self._steps = scheduler, int(scheduler.config.num_train_timesteps)
        self._null_1D = torch.from_numpy(TextEmbedder(as_source(local.generator_path), "cpu").embed_text([""]))
        self._train = _learned_from(work, seed, local, self.parts, "train", SOUNDS)
        self._held_out = _learned_from(work, seed, local, self.parts, "validation", HELD_OUT)

    def losses(self, step: int, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """The generator's own error, more often of early steps, where it is decided when things sound."""
        rows = rng.choice(len(self._train.latents_NCHW), self.plan.batch, replace=False)
        shares_B = np.sqrt((np.arange(len(rows)) + rng.random(len(rows))) / len(rows))
        curves_BKF = np.stack([disturbed(self._train.curves_NKF[row], rng) for row in rows])
        conditions_BD = with_noise(torch.from_numpy(self._train.conditions_ND[rows]), rng)
        conditions_BD[torch.from_numpy(rng.random(len(rows)) < NULL_SHARE)] = self._null_1D
        return {"error": self._error(self._train, rows, shares_B, conditions_BD, torch.from_numpy(curves_BKF))}

    def validate(self) -> Mapping[str, float]:
        """The error on other sounds with their curves, without one, and with those of others."""
        rows = np.arange(len(self._held_out.latents_NCHW))
        shares_N = np.linspace(0.4, 1, len(rows), endpoint=False)
        conditions_ND = torch.from_numpy(self._held_out.conditions_ND)
        curves_NKF = torch.from_numpy(self._held_out.curves_NKF)
        found: dict[str, float] = {}
        for name, given in (("own", curves_NKF), ("free", None), ("others", curves_NKF.roll(1, 0))):
            torch.manual_seed(0)
            found[name] = float(self._error(self._held_out, rows, shares_N, conditions_ND, given))
        return found

    def _error(
        self,
        learned: _Learned,
        rows: npt.NDArray[np.int64],
        shares_B: npt.NDArray[np.float64],
        conditions_BD: torch.Tensor,
        curves_BKF: torch.Tensor | None,
    ) -> torch.Tensor:
        """Squared error at times given as shares of the schedule; without curves, of the UNet as it is."""
        latents_BCHW = torch.from_numpy(learned.latents_NCHW[rows]).float()
        times_B = torch.from_numpy((shares_B * self._steps).astype(np.int64)).clamp(max=self._steps - 1)
        noise_BCHW = torch.randn_like(latents_BCHW)
        noisy_BCHW = self._scheduler.add_noise(latents_BCHW, noise_BCHW, times_B)
        wanted_BCHW = noise_BCHW
        if self._scheduler.config.prediction_type == "v_prediction":
            wanted_BCHW = self._scheduler.get_velocity(latents_BCHW, noise_BCHW, times_B)
        residuals = [] if curves_BKF is None else self.adapter(curves_BKF)
        entries = self.adapter.entries if residuals else []
        # Of so few latents, attention written out is learned faster than the fused kernel of CPUs.
        with autocast(), sdpa_kernel(SDPBackend.MATH), added(self.parts.unet, entries, residuals):
            made_BCHW = self.parts.unet(
                noisy_BCHW, times_B, encoder_hidden_states=None, class_labels=conditions_BD
            ).sample
        error: torch.Tensor = (made_BCHW.float() - wanted_BCHW).square().mean()
        return error


def disturbed(curve_KF: Floats, rng: np.random.Generator) -> Floats:
    """A curve as it may be given later: smoothed, with its onsets read from the level, or without any."""
    level_F, onset_F = curve_KF
    if rng.random() < SMOOTH_SHARE:
        level_F = _median(level_F, 2 * int(rng.integers(1, WIDEST // 2 + 1)) + 1)
    choice = rng.random()
    if choice < FROM_LEVEL_SHARE:
        onset_F = onset_bumps(rises(level_F), len(level_F))
    elif choice < FROM_LEVEL_SHARE + UNSAID_SHARE:
        onset_F = np.zeros_like(onset_F)
    return np.stack([level_F, onset_F])


def _median(values_F: Floats, width: int) -> Floats:
    padded = np.pad(values_F, width // 2, mode="edge")
    found: Floats = np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1).astype(np.float32)
    return found


def _fresh(parts: AudioLdmParts, seed: int) -> EnvelopeAdapter:
    with seeded(seed):
        return EnvelopeAdapter(entries_of(parts.unet.config), stride_of(parts.geometry.frame_s), WIDTH)


def build(work: Path, seed: int, local: LocalBundle, plan: Plan = PLAN) -> EnvelopeStage:
    """The stage, with fresh weights."""
    return EnvelopeStage(work, seed, local, plan)


class _Learned:
    """What is learned from, read once: latents, embeddings and curves of the first sounds of a split.

    Attributes:
        latents_NCHW: Float16, as the UNet has them.
        conditions_ND: Float32, L2-normalised, of the first five seconds.
        curves_NKF: Float32.
    """

    def __init__(self, file: Path) -> None:
        with np.load(file) as arrays:
            self.latents_NCHW: npt.NDArray[np.float16] = arrays["latents"]
            self.conditions_ND: Floats = arrays["conditions"]
            self.curves_NKF: Floats = arrays["curves"]


def _learned_from(
    work: Path, seed: int, local: LocalBundle, parts: AudioLdmParts, split: Split, count: int
) -> _Learned:
    cache = work / NAME / f"{split}.npz"
    if not cache.is_file():
        clap, spec = build_audio(local, EncoderSettings()), local.media_spec()
        stride, scale = stride_of(parts.geometry.frame_s), parts.vae.config.scaling_factor
        found: dict[str, list[npt.NDArray[Any]]] = {"latents": [], "conditions": [], "curves": []}
        for start in range(0, count, AT_ONCE):
            scenes = [sample(world(seed), split, index) for index in range(start, min(start + AT_ONCE, count))]
            sounds_BT = np.stack([training_waveform(scene) for scene in scenes]) / np.float32(FULL_SCALE)
            latents_BCHW = encode(parts.vae, log_mel(torch.from_numpy(sounds_BT))) * scale
            # As those of a video of the world are made: of its first five seconds.
            heard = [clap_waveform(sound_T[:CLIP_SAMPLES], SAMPLE_RATE, spec) for sound_T in sounds_BT]
            curves = [envelope(sound_T, SAMPLE_RATE).lasting(latents_BCHW.shape[2] * stride) for sound_T in sounds_BT]
            found["latents"].append(latents_BCHW.half().numpy())
            found["conditions"].append(clap.encode(np.stack(heard)))
            found["curves"].append(np.stack([np.stack([curve.level_F, curve.onset_F]) for curve in curves]))
        with storage.writing(str(cache)) as path:
            np.savez(path, **{name: np.concatenate(arrays) for name, arrays in found.items()})
    return _Learned(cache)
