"""Typed configuration of training: data, optimisation, validation; by default as the paper and the published prior."""

from __future__ import annotations

from typing import Literal

from v2a_core.config import Settings, setting


class DataSettings(Settings):
    """Which rows of the embeddings are learned from, and which judge."""

    splits: Literal["auto", "catalog", "hash"] = setting(
        "auto", "the catalog's `split` column, or a hash of the source; auto: the column where a row has one"
    )
    validation_share: float = setting(0.05, "share of the sources held out when splits come by hash", gt=0, lt=1)
    allow_unfinished: bool = setting(False, "train on embeddings whose job has not finished")


class OptimizerSettings(Settings):
    """AdamW, warm-up, moving average."""

    learning_rate: float = setting(1.1e-4, "peak learning rate", gt=0, le=1)
    beta1: float = setting(0.9, "AdamW's decay of the gradient mean", ge=0, lt=1)
    beta2: float = setting(0.99, "AdamW's decay of the squared gradient mean", ge=0, lt=1)
    weight_decay: float = setting(6.02e-2, "weight decay of matrices; vectors have none", ge=0, le=10)
    gradient_clip: float = setting(0.5, "largest norm of the gradient", gt=0)
    warmup_steps: int = setting(50, "steps of linear warm-up, at most a tenth of the run", ge=0)
    decay: Literal["none", "cosine"] = setting("none", "learning rate after warm-up: constant, or cosine to zero")
    ema_decay: float = setting(0.9999, "decay of the moving average of the weights that is exported", ge=0, lt=1)


class ValidationSettings(Settings):
    """How and how often a mapper is judged."""

    every_epochs: int = setting(1, "epochs between validations; each is followed by a checkpoint", ge=1)
    sampled_rows: int = setting(256, "validation rows that are sampled for the cosine similarity", ge=1)
    sampling_steps: int = setting(20, "denoising steps of that sampling (DPM-Solver++)", ge=2, le=1000)
    best_by: Literal["loss", "cosine"] = setting("loss", "what makes a checkpoint the best one")


class TrainingSettings(Settings):
    """How long and how a mapper is trained."""

    epochs: int = setting(100, "passes over the training rows", ge=1, flag="--epochs")
    max_steps: int | None = setting(None, "stop after this many steps, if that comes first", ge=1)
    global_batch: int = setting(448, "rows in a step, over all workers", unit="rows", ge=1)
    micro_batch: int = setting(0, "rows of a worker that are computed at once (0: all its rows)", unit="rows", ge=0)
    precision: Literal["auto", "fp32", "bf16"] = setting("auto", "number format; auto: bf16 where the machine has it")
    optimizer: OptimizerSettings = setting(OptimizerSettings, "AdamW, warm-up, moving average")
    validation: ValidationSettings = setting(ValidationSettings, "how it is judged")
