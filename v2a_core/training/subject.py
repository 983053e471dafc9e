"""What a trainer trains, whatever that is: a network, its losses, and how it is judged."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from torch import Generator, Tensor, nn

from v2a_core.training.history import ValidationRow

# Tensors by name, each with a row for every row of a batch: what is learned from, and the random numbers of a step.
Inputs = Mapping[str, Tensor]
# The network, or what is called like it: wrapped for several workers, or a part of a lane.
Network = Callable[..., Tensor]
# What a validation leaves for pictures and the export, by name; empty where it leaves nothing.
Shown = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Facts:
    """What is known of the data.

    Attributes:
        rows: Usable rows by split.
        left_out: Rows left out, by reason.
    """

    rows: Mapping[str, int]
    left_out: Mapping[str, int]


class Subject(abc.ABC):
    """A network in training.

    Randomness comes in from outside: `draws` makes the random numbers of a whole global batch, each worker takes the
    rows that are its own, so a step is the same for any number of workers.

    Attributes:
        file: Name of the weight file in checkpoints and in the output.
        rows_apart: Whether the losses are a pure function of the network's parameters and their own rows: then rows are
            computed side by side.
        graphed: Whether, too, a step's kernels are recorded once on a GPU.
        model: What is trained, on its device; equal on every worker.
        facts: Of the data.
    """

    file: ClassVar[str]
    rows_apart: ClassVar[bool] = False
    graphed: bool = False
    model: nn.Module
    facts: Facts

    @abc.abstractmethod
    def draws(self, rows: int, generator: Generator) -> Inputs:
        """The random numbers of a training step, each of `rows` rows, on the generator's device."""

    @abc.abstractmethod
    def losses(self, network: Network, given: Inputs) -> Tensor:
        """The loss of each row, float32 (B,).

        Args:
            network: `model`, or what stands for it.
            given: Rows of a feed, with their random numbers.
        """

    @abc.abstractmethod
    def nothing(self) -> Inputs:
        """One row without random numbers, for a worker that has none: it counts nothing."""

    @abc.abstractmethod
    def judge(self, model: nn.Module) -> tuple[ValidationRow, Shown]:
        """How well a state of the network does on what it has not seen: the same on every worker.

        Args:
            model: As `model`; its weights are the moving average.
        """

    def compile(self, model: nn.Module) -> None:
        """`torch.compile` what of a model takes long."""
        model.compile()
