"""Typed configuration of training: data, optimisation, validation; by default as the paper and the published prior."""

from __future__ import annotations

from typing import Literal

from v2a_core.config import Settings, setting


class SplitSettings(Settings):
    """Which rows are learned from, and which judge."""

    splits: Literal["auto", "catalog", "hash"] = setting(
        "auto", "the catalog's `split` column, or a hash of the source; auto: the column where a row has one"
    )
    validation_share: float = setting(0.05, "share of the sources held out when splits come by hash", gt=0, lt=1)
    segment_weight: Literal["equal", "source", "duration"] = setting(
        "equal", "what a segment counts in the loss: all alike, all sources alike, or by its length"
    )
    allow_unfinished: bool = setting(False, "train on embeddings whose job has not finished")


class DataSettings(SplitSettings):
    """The same of pairs for a mapper, and where they are kept."""

    placement: Literal["auto", "memory", "sharded", "stream"] = setting(
        "auto", "pairs are all in each worker's memory, a share in each, or read anew each epoch; auto: what fits"
    )
    worker_memory_gib: float = setting(8.0, "what the pairs of a worker may take, on its device", unit="GiB", gt=0)


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


class JudgingSettings(Settings):
    """How often what is trained is judged, and when it is as good as it gets."""

    every_epochs: int = setting(1, "epochs between validations; each is followed by a checkpoint", ge=1)
    best_by: str = setting("loss", "what makes a checkpoint the best")
    patience: int = setting(0, "stop after this many validations without a better one (0: never)", ge=0)


class ValidationSettings(JudgingSettings):
    """The same of a mapper, and how it is judged."""

    sampled_rows: int = setting(512, "validation rows that are sampled for all metrics but the loss", ge=1)
    sampling_steps: int = setting(20, "denoising steps of that sampling (DPM-Solver++)", ge=2, le=1000)
    best_by: Literal["loss", "cosine", "recall_at_10", "frechet"] = setting("loss", "what makes a checkpoint the best")


class CheckpointSettings(Settings):
    """When a run is saved, so that a killed one goes on."""

    every_steps: int = setting(0, "steps between checkpoints, besides those after validations (0: none)", ge=0)
    keep: int = setting(2, "latest checkpoints that are kept; the best state so far is in each", ge=1)


class LoopSettings(Settings):
    """How long and how anything is trained."""

    epochs: int = setting(100, "passes over the training rows", ge=1, flag="--epochs")
    max_steps: int | None = setting(None, "stop after this many steps, if that comes first", ge=1)
    global_batch: int = setting(448, "rows in a step, over all workers", unit="rows", ge=1)
    micro_batch: int = setting(0, "rows of a worker that are computed at once (0: all its rows)", unit="rows", ge=0)
    precision: Literal["auto", "fp32", "bf16"] = setting("auto", "number format; auto: bf16 where the machine has it")
    compile: bool = setting(False, "torch.compile the network: a minute or more at the start, then faster steps")
    log_every_steps: int = setting(20, "steps between entries of losses.jsonl", ge=1)
    optimizer: OptimizerSettings = setting(OptimizerSettings, "AdamW, warm-up, moving average")
    validation: JudgingSettings = setting(JudgingSettings, "how it is judged")
    checkpoints: CheckpointSettings = setting(CheckpointSettings, "when it is saved")


class TrainingSettings(LoopSettings):
    """How long and how a mapper is trained."""

    cuda_graph: bool = setting(True, "one GPU: record a step's kernels once, then launch them together")
    validation: ValidationSettings = setting(ValidationSettings, "how it is judged")


class RecordSettings(Settings):
    """Where a run's numbers go, besides `metrics.jsonl` and `losses.jsonl`."""

    tensorboard: bool = setting(True, "write TensorBoard events into the output's tensorboard/")
    wandb_project: str | None = setting(None, "log to this Weights & Biases project, with its own login")
