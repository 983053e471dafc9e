"""What every network is to its method, and every method to its trainer and to the exported mapper.

Shapes: B rows, V width of a visual embedding, E of an audio embedding.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence

import torch.nn.functional as F  # noqa: N812 (the name everybody uses)
from torch import Generator, Tensor, nn

from v2a_core.mappers.config import MethodSettings, NetworkSettings, SamplingSettings

Draws = Mapping[str, Tensor]


class MapperNetwork(nn.Module, abc.ABC):
    """What computes, inside a method.

    Args:
        embedding_dim: E.
        vision_dim: V.
        time_steps: Steps of the noise schedule; 0 for a network without time and noisy input.
        settings: Its own.
    """

    def __init__(self, embedding_dim: int, vision_dim: int, time_steps: int, settings: NetworkSettings) -> None:
        super().__init__()

    @abc.abstractmethod
    def forward(self, condition_BV: Tensor, noisy_BE: Tensor | None = None, time_B: Tensor | None = None) -> Tensor:
        """Float (B, E).

        Args:
            condition_BV: Visual condition, about unit variance.
            noisy_BE: Noisy audio embedding, about unit variance; None without time steps.
            time_B: Steps of the noise schedule, int64, 0 is the cleanest; None without them.
        """


class MapperModel(nn.Module, abc.ABC):
    """A trainable method around a network.

    Embeddings go in and come out L2-normalised; inside they are scaled by the root of their width, to about unit
    variance a number.

    Randomness comes in from outside: `draws` makes the random numbers of a whole global batch, each worker takes the
    rows that are its own, so a step is the same for any number of workers.

    Args:
        embedding_dim: E.
        vision_dim: V.
        network: Called with the scaled condition; by methods with noise also with the noisy embedding and its step.
        settings: Of the method.
    """

    def __init__(self, embedding_dim: int, vision_dim: int, network: nn.Module, settings: MethodSettings) -> None:
        super().__init__()
        self.embedding_dim, self.vision_dim = embedding_dim, vision_dim
        self.scale, self.vision_scale = math.sqrt(embedding_dim), math.sqrt(vision_dim)
        self.network = network

    @abc.abstractmethod
    def draws(self, rows: int, generator: Generator) -> Draws:
        """The random numbers of a training step, each of `rows` rows, on the generator's device."""

    @abc.abstractmethod
    def forward(self, condition_BV: Tensor, target_BE: Tensor, draws: Draws) -> Tensor:
        """The loss of each row, float32 (B,).

        Args:
            condition_BV: Aggregated visual embeddings, L2-normalised float32.
            target_BE: Audio embeddings, L2-normalised float32.
            draws: From `draws`, the rows of this batch.
        """

    @abc.abstractmethod
    def sample(self, condition_BV: Tensor, seeds: Sequence[int], sampling: SamplingSettings | None = None) -> Tensor:
        """Audio embeddings for visual ones, L2-normalised float32 (B, E); row i depends only on row i and seed i.

        Args:
            condition_BV: Aggregated visual embeddings, L2-normalised float32.
            seeds: A 63-bit seed a row; a deterministic method does not use them.
            sampling: Instead of the settings it was made with.
        """

    def check_sampling(self, sampling: SamplingSettings) -> None:
        """Refuse, with ValueError, settings that `sample` cannot follow."""


def normalize(x_BE: Tensor) -> Tensor:
    """L2-normalised rows, float32."""
    return F.normalize(x_BE.float(), dim=-1)


def take(draws: Draws, rows: Tensor) -> Draws:
    """The random numbers of some rows."""
    return {name: values[rows] for name, values in draws.items()}
