"""What a run records of itself: a row every few steps, and one for each validation, as JSON lines keep them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

BETTER_IS_LOWER = ("loss", "frechet")


class LossRow(TypedDict):
    """The training loss since the row before.

    Attributes:
        step: Steps done.
        train_loss: Mean over the rows.
        gradient_norm: Mean over the steps, before clipping.
        learning_rate: Of the last step.
        pairs: Rows learned from so far.
        seconds: Time spent training so far.
    """

    step: int
    train_loss: float
    gradient_norm: float
    learning_rate: float
    pairs: int
    seconds: float


class News(LossRow):
    """The same for whoever watches the run."""

    total_steps: int


class ClassScores(TypedDict):
    """How well a mapper does on the pairs of one label."""

    rows: int
    cosine: float
    recall_at_10: float


class ValidationRow(TypedDict, total=False):
    """A validation, or what is known of it; of a checkpoint between two validations only step and epoch.

    What is trained adds what it is judged by, under names that begin with `validation_`.

    Attributes:
        epoch: Epochs done or begun.
        step: Steps done.
        train_loss: Mean over the rows since the last validation.
        validation_loss: Mean over the validation rows.
        score: What the best state has most of.
        learning_rate: Of the last step.
        seconds: Time spent training so far.
        pairs_per_second: Rows learned from a second, so far.
    """

    epoch: int
    step: int
    train_loss: float
    validation_loss: float
    score: float
    learning_rate: float
    seconds: float
    pairs_per_second: float


class MapperValidation(ValidationRow, total=False):
    """The same of a mapper.

    Attributes:
        validation_cosine: Mean cosine similarity of mapped and true embedding.
        validation_recall_at_1, validation_recall_at_5, validation_recall_at_10: Share of rows whose true embedding is
            among the 1, 5, 10 nearest to the mapped one, of all (visual -> audio retrieval).
        validation_median_rank: Median place of the true one; 1 is the best.
        validation_frechet: Squared Fréchet distance between the mapped and the true embeddings (Dowson and Landau
            1982); None for fewer than two rows. With fewer rows than numbers it depends on how many: compare like
            with like.
        validation_variance_ratio: Total variance of the mapped ones over that of the true ones: 1 is as diverse. None
            where the true ones are all the same.
        by_class: Of each label; only with labels.
    """

    validation_cosine: float
    validation_recall_at_1: float
    validation_recall_at_5: float
    validation_recall_at_10: float
    validation_median_rank: float
    validation_frechet: float | None
    validation_variance_ratio: float | None
    by_class: dict[str, ClassScores]


def value_of(row: Mapping[str, object], name: str) -> float | None:
    """A value of a row by its name; None where it could not be measured.

    Raises:
        KeyError: When the row has no such value.
        TypeError: When it is none that can be compared.
    """
    value = row[name]
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return float(value)
    raise TypeError(f"{name} is a {type(value).__name__}, not a number")


def score(metrics: ValidationRow, best_by: str) -> float:
    """What the best state has most of; 0 where that could not be measured."""
    value = value_of(metrics, f"validation_{best_by}")
    if value is None:
        return 0.0
    return -value if best_by in BETTER_IS_LOWER else value
