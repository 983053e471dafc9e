"""Typed configuration of the training of an envelope adapter. Importing this loads no torch."""

from __future__ import annotations

from typing import Literal

from v2a_core.config import Settings, setting
from v2a_core.training.config import JudgingSettings, LoopSettings, OptimizerSettings


class AdapterNetworkSettings(Settings):
    """How large the adapter is."""

    width: int = setting(320, "channels", ge=1, le=4096)
    blocks: int = setting(2, "residual blocks a level of the UNet", ge=1, le=16)


class DisturbanceSettings(Settings):
    """How the curves of sounds are made like those that are given later: drawn by hand, or guessed from pictures."""

    smooth_share: float = setting(0.5, "share of the curves whose level is smoothed", ge=0, le=1)
    widest_s: float = setting(0.26, "longest median that smooths", unit="s", gt=0, le=2)
    from_level_share: float = setting(0.15, "share of those whose onsets are read from the level", ge=0, le=1)
    unsaid_share: float = setting(0.15, "share of those without onsets", ge=0, le=1)


class LessonSettings(Settings):
    """What is asked of the generator with a curve."""

    condition_noise: float = setting(
        0.5, "longest noise on the sounds' embeddings, whose norm is 1: mappers are not exact", ge=0, le=4
    )
    early: float = setting(
        0.5, "exponent of a uniform share of the noise schedule; below 1: noisy steps more often", gt=0, le=4
    )
    curves: DisturbanceSettings = setting(DisturbanceSettings, "what is done to curves")


class AdapterOptimizer(OptimizerSettings):
    """AdamW, warm-up, moving average."""

    learning_rate: float = setting(5e-4, "peak learning rate", gt=0, le=1)
    weight_decay: float = setting(0.01, "weight decay of matrices; vectors have none", ge=0, le=10)
    gradient_clip: float = setting(1.0, "largest norm of the gradient", gt=0)
    decay: Literal["none", "cosine"] = setting("cosine", "learning rate after warm-up: constant, or cosine to zero")
    ema_decay: float = setting(0.999, "decay of the moving average of the weights that is exported", ge=0, lt=1)


class AdapterJudging(JudgingSettings):
    """How often the adapter is judged."""

    best_by: Literal["loss"] = setting("loss", "what makes a checkpoint the best")


class AdapterTraining(LoopSettings):
    """How long and how an adapter is trained."""

    epochs: int = setting(20, "passes over the sounds", ge=1, flag="--epochs")
    global_batch: int = setting(16, "sounds in a step, over all workers", unit="rows", ge=1)
    optimizer: AdapterOptimizer = setting(AdapterOptimizer, "AdamW, warm-up, moving average")
    validation: AdapterJudging = setting(AdapterJudging, "how it is judged")
