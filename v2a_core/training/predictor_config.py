"""Typed configuration of the training of a curve predictor. Importing this loads no torch."""

from __future__ import annotations

from typing import Literal

from v2a_core.config import Settings, setting
from v2a_core.timing.predictors.config import LEAST_CUT
from v2a_core.training.config import JudgingSettings, LoopSettings, OptimizerSettings


class PredictorNetworkSettings(Settings):
    """How large the predictor `gru` is."""

    width: int = setting(128, "channels of the convolutions", ge=1, le=4096)
    hidden: int = setting(128, "of the recurrent layers, in each direction", ge=1, le=4096)
    dropout: float = setting(0.2, "in training", ge=0, lt=1)


class PieceSettings(Settings):
    """What is asked about segments."""

    least_share: float = setting(
        0.4, "half of the steps see pieces of segments, of this share of their frames at least", gt=0, le=1
    )
    least_cut: float = setting(
        LEAST_CUT,
        "of a segment that is cut, the longest shot is learned from; a frame that differs by more from the one before, "
        "and by more than twice as much as those around it, begins another shot; share of white; 1: nothing does",
        gt=0,
        le=1,
    )
    embedding_noise: float = setting(0.02, "length of the noise on embeddings, whose norm is 1", ge=0, le=1)
    motion_noise: float = setting(0.2, "standard deviation of the logarithm by which motion is changed", ge=0, le=2)
    blur: float = setting(1.0, "how near a level counts as nearly right", unit="levels of 64", gt=0, le=16)
    onset_weight: float = setting(0.5, "what onsets count beside levels in the loss", ge=0, le=10)
    shape_weight: float = setting(
        0.0, "what counts beside levels how they rise and fall: 1 less the correlation of levels over time", ge=0, le=10
    )


class PredictorOptimizer(OptimizerSettings):
    """AdamW, warm-up, moving average."""

    learning_rate: float = setting(2e-3, "peak learning rate", gt=0, le=1)
    weight_decay: float = setting(0.05, "weight decay of matrices; vectors have none", ge=0, le=10)
    gradient_clip: float = setting(1.0, "largest norm of the gradient", gt=0)
    decay: Literal["none", "cosine"] = setting("cosine", "learning rate after warm-up: constant, or cosine to zero")
    ema_decay: float = setting(0.99, "decay of the moving average of the weights that is exported", ge=0, lt=1)


class PredictorJudging(JudgingSettings):
    """How often the predictor is judged, and by what."""

    best_by: Literal["loss", "correlation", "onsets"] = setting(
        "loss", "what makes a checkpoint the best: the loss, the correlation of the levels, or the F1 of the onsets"
    )


class PredictorTraining(LoopSettings):
    """How long and how a predictor is trained."""

    epochs: int = setting(20, "passes over the segments", ge=1, flag="--epochs")
    global_batch: int = setting(32, "segments in a step, over all workers", unit="rows", ge=1)
    precision: Literal["auto", "fp32", "bf16"] = setting("fp32", "number format; auto: bf16 where the machine has it")
    optimizer: PredictorOptimizer = setting(PredictorOptimizer, "AdamW, warm-up, moving average")
    validation: PredictorJudging = setting(PredictorJudging, "how it is judged")
