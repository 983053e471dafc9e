"""Stage `predictor`: the network that says from pictures when and how loud it sounds, on the finished bundle's CLIP.

It learns from scenes with their sounds, a quarter of them in the other drawing style: what is seen ten times a second,
and the envelope of what is heard. Without these it told of pictures in that style little that is true. How sure it may
be, and what probability is an onset, are measured on the validation split.

Shapes: N scenes, B scenes of a step, G frames of a scene, D numbers of an embedding, F values of a curve, K levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from v2a_core import storage
from v2a_core.encoders import EncoderSettings, build_vision
from v2a_core.media.log_mel import SAMPLE_RATE
from v2a_core.metrics.extractors.onsets import onset_times
from v2a_core.metrics.onsets import onset_agreement
from v2a_core.miniature.seeded import seeded
from v2a_core.miniature.training.data import world
from v2a_core.miniature.training.loop import Plan
from v2a_core.miniature.watching import watch
from v2a_core.miniature.world import KINDS, render_sound, sample
from v2a_core.miniature.world.canvas import Style
from v2a_core.miniature.world.scenes import Split
from v2a_core.models import LocalBundle
from v2a_core.protocols import CURVE_HZ
from v2a_core.timing.envelope import MU, compress, level, onset_bumps
from v2a_core.timing.predictors.gru import around, peaks
from v2a_core.timing.predictors.gru_network import LEVELS, TimingNetwork, level_places, told_levels

Floats = npt.NDArray[np.float32]

NAME = "predictor"
PLAN = Plan(
    steps=1000, batch=32, learning_rate=2e-3, warmup=60, weight_decay=0.05, betas=(0.9, 0.99), ema=0.99,
    validate_every=200,
)  # fmt: skip
SCENES, HELD_OUT = 4800, 288
PAINT_SHARE = 0.75  # of the scenes, the first ones; the rest is in the other style
LENGTH_S, RATE = 5.0, 10
STEPS = CURVE_HZ // RATE
WIDTH = HIDDEN = 128
DROPOUT = 0.2
AT_ONCE = len(KINDS)
# Scenes are cut to this share of their frames at least: videos have any length.
LEAST_SHARE = 0.4
# Levels near the true one are nearly right.
BLUR = 1.0
ONSET_WEIGHT = 0.5
# How levels rise and fall counts beside what they are; changes far below this variance are none.
SHAPE_WEIGHT, NO_VARIANCE = 0.25, 1e-4
# Frames of a compressed video differ a little from drawn ones.
EMBEDDING_NOISE, MOTION_NOISE = 0.02, 0.2
TOLERANCE_S = 0.1
THRESHOLDS = tuple(round(0.1 + 0.05 * number, 2) for number in range(13))
SURE_SHARE = 0.95  # of what is held out is at least as sure


class PredictorStage:
    """See `Stage`.

    Args:
        work: Folder of what is computed once: embeddings, motion and curves.
        seed: Of the world and the weights.
        local: The bundle.
        plan: How long and how fast.
    """

    def __init__(self, work: Path, seed: int, local: LocalBundle, plan: Plan = PLAN) -> None:
        self.plan = plan
        with seeded(seed):
            self.network = TimingNetwork(local.vision_dim, STEPS, WIDTH, HIDDEN, DROPOUT)
        self.modules = nn.ModuleDict({"network": self.network})
        self._train = _learned_from(work, seed, local, "train", SCENES)
        self._held_out = _learned_from(work, seed, local, "validation", HELD_OUT)

    def losses(self, step: int, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """Cross-entropy of the levels and of the onsets, and how unlike the levels' shapes are, of pieces of scenes."""
        learned, plan = self._train, self.plan
        rows = rng.choice(len(learned.frames_NGD), plan.batch, replace=False)
        whole = learned.frames_NGD.shape[1]
        length = int(rng.integers(round(LEAST_SHARE * whole), whole + 1)) if rng.random() < 0.5 else whole
        start = int(rng.integers(whole - length + 1))
        frames, values = slice(start, start + length), slice(start * STEPS, (start + length) * STEPS)
        frames_BGD = torch.from_numpy(learned.frames_NGD[rows, frames]).float()
        frames_BGD = functional.normalize(
            frames_BGD + EMBEDDING_NOISE * frames_BGD.shape[-1] ** -0.5 * torch.randn_like(frames_BGD), dim=-1
        )
        motion_BG = learned.motion_NG[rows, frames] * np.exp(rng.normal(0, MOTION_NOISE, (plan.batch, 1)))
        levels_BF = loudest_is_1(learned.levels_NF[rows, values])
        logits_BFK, onsets_BF = self.network(frames_BGD, torch.from_numpy(motion_BG.astype(np.float32)))
        wanted_BFK = blurred(torch.from_numpy(levels_BF))
        onset_BF = torch.from_numpy(learned.onsets_NF[rows, values])
        return {
            "level": -(wanted_BFK * logits_BFK.log_softmax(dim=-1)).sum(dim=-1).mean(),
            "shape": SHAPE_WEIGHT * (1 - alike(told_levels(logits_BFK)[0], torch.from_numpy(levels_BF))).mean(),
            "onset": ONSET_WEIGHT * functional.binary_cross_entropy_with_logits(onsets_BF, onset_BF),
        }

    def validate(self) -> Mapping[str, float]:
        """How well it does on other scenes, and what its description has to say of that."""
        learned = self._held_out
        logits_NFK, onsets_NF = self.network(
            torch.from_numpy(learned.frames_NGD).float(), torch.from_numpy(learned.motion_NG)
        )
        levels_NF, spread_NF = (values.numpy() for values in told_levels(logits_NFK))
        correlations = [np.corrcoef(pair)[0, 1] for pair in zip(levels_NF, learned.levels_NF, strict=True)]
        chances_NF = onsets_NF.sigmoid().numpy()
        scores = [learned.agreement(chances_NF, threshold) for threshold in THRESHOLDS]
        best = int(np.argmax(scores))
        spreads = [around(row_F, CURVE_HZ // 2) for row_F in spread_NF]
        return {
            "correlation": float(np.nanmean(correlations)),
            "onsets": scores[best],
            "threshold": THRESHOLDS[best],
            "sure_spread": float(np.quantile(np.stack(spreads), SURE_SHARE)),
            "unsure_spread": float(self._train.levels_NF.std()),
        }


def blurred(levels_BF: torch.Tensor) -> torch.Tensor:
    """Probabilities of the levels (B, F, K): a bell around the true ones, which are 0..1."""
    distance_BFK = (levels_BF[..., None] - level_places()) * LEVELS
    return (-0.5 * (distance_BFK / BLUR).square()).softmax(dim=-1)


def alike(made_BF: torch.Tensor, real_BF: torch.Tensor) -> torch.Tensor:
    """Correlation of levels over time (B,), -1..1; near 0 where one of them hardly changes."""
    away = [levels_BF - levels_BF.mean(dim=1, keepdim=True) for levels_BF in (made_BF, real_BF)]
    variances = [(away_BF.square().mean(dim=1) + NO_VARIANCE) for away_BF in away]
    return (away[0] * away[1]).mean(dim=1) / (variances[0] * variances[1]).sqrt()


def loudest_is_1(levels_BF: Floats) -> Floats:
    """Levels of pieces of sounds, as `protocols.Curve.level_F`: in shares of their own loudest moment."""
    amplitude_BF = np.expm1(levels_BF.astype(np.float64) * np.log1p(MU)) / MU
    return compress(amplitude_BF / np.maximum(amplitude_BF.max(axis=1, keepdims=True), 1e-6))


class _Learned:
    """What is learned from, read once: what is seen and heard of the first scenes of a split.

    Attributes:
        frames_NGD: Float16, L2-normalised.
        motion_NG: Float32.
        levels_NF, onsets_NF: Float32, of the curves.
        times: Of the onsets of each sound, in seconds.
    """

    def __init__(self, file: Path) -> None:
        with np.load(file) as arrays:
            self.frames_NGD: npt.NDArray[np.float16] = arrays["frames"]
            self.motion_NG: Floats = arrays["motion"]
            self.levels_NF: Floats = arrays["levels"]
            self.onsets_NF: Floats = arrays["onsets"]
            self.times = np.split(arrays["times"], np.cumsum(arrays["counts"])[:-1])

    def agreement(self, chances_NF: Floats, threshold: float) -> float:
        """Mean F1 of predicted onsets."""
        pairs = zip(chances_NF, self.times, strict=True)
        found = [onset_agreement(peaks(row_F, threshold) / CURVE_HZ, times, TOLERANCE_S) for row_F, times in pairs]
        return float(np.mean([value for value in found if value is not None]))


def _learned_from(work: Path, seed: int, local: LocalBundle, split: Split, count: int) -> _Learned:
    cache = work / NAME / f"{split}.npz"
    if not cache.is_file():
        encoder, size = build_vision(local, EncoderSettings()), local.media_spec().image_size
        names = ("frames", "motion", "levels", "onsets", "times")
        found: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in names}
        for indices, style in styled(count):
            scenes = [sample(world(seed), split, index) for index in indices]
            for scene, seen in zip(scenes, watch(scenes, encoder, RATE, LENGTH_S, size, style), strict=True):
                sound_T = render_sound(scene, length_s=LENGTH_S, sample_rate=SAMPLE_RATE)
                level_F, times_s = level(sound_T), onset_times(sound_T, SAMPLE_RATE)
                assert seen.frames_ND is not None
                bumps_F = onset_bumps(times_s, len(level_F))
                values: list[npt.NDArray[np.generic]] = [seen.frames_ND, seen.motion_N, level_F, bumps_F, times_s]
                for name, value in zip(names, values, strict=True):
                    found[name].append(value)
        times = found.pop("times")
        with storage.writing(str(cache)) as path:
            arrays = {name: np.stack(values) for name, values in found.items()}
            np.savez(path, **arrays, times=np.concatenate(times), counts=[len(item) for item in times])
    return _Learned(cache)


def styled(count: int) -> Iterator[tuple[range, Style]]:
    """Scenes a few at a time, and how they are drawn."""
    painted = round(PAINT_SHARE * count)
    parts: tuple[tuple[int, int, Style], ...] = ((0, painted, "paint"), (painted, count, "ink"))
    for first, last, style in parts:
        for start in range(first, last, AT_ONCE):
            yield range(start, min(start + AT_ONCE, last)), style


def build(work: Path, seed: int, local: LocalBundle, plan: Plan = PLAN) -> PredictorStage:
    """The stage, with fresh weights."""
    return PredictorStage(work, seed, local, plan)
