"""From a curve to what is added inside of the frozen UNet, computed once a soundtrack.

A pyramid of 1-D convolutions reads the curve at the rate of the latents, then at half of it, and so on down the UNet.
Of each level a layer that begins at zero makes a residual for each place of the UNet there, the same for all bins of a
frame. An untrained adapter therefore changes nothing.

The design follows adapters for images (T2I-Adapter, arXiv:2302.08453). Residuals enter by forward hooks, before the
skips of the UNet branch off: the entries that diffusers offers come after them, and were followed less closely.

Shapes: B sounds, K channels of a curve, F values of it, H latent frames of a level, C channels of the UNet there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from v2a_core.protocols import CURVE_HZ, Curve

CHANNELS = 2  # level and onsets
KERNEL_STRIDES = 3  # the first convolution sees as many latent frames
Residuals = Sequence[torch.Tensor]  # one an entry


@dataclass(frozen=True)
class Entry:
    """A place in the UNet to which something is added.

    Attributes:
        module: Its name there; the residual is added to what it gives.
        level: How often the latents are halved before it.
        channels: C.
    """

    module: str
    level: int
    channels: int


def entries_of(unet: Mapping[str, Any]) -> list[Entry]:
    """Where residuals enter a UNet2DConditionModel: the first layer, once each level on its way down, its middle.

    Args:
        unet: Its configuration.
    """
    widths, kinds = unet["block_out_channels"], unet["down_block_types"]
    found = [Entry("conv_in", 0, widths[0])]
    for level, (width, kind) in enumerate(zip(widths, kinds, strict=True)):
        part = "attentions" if "CrossAttn" in kind else "resnets"
        found.append(Entry(f"down_blocks.{level}.{part}.0", level, width))
    return [*found, Entry("mid_block", len(widths) - 1, widths[-1])]


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv1d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x_BWH: torch.Tensor) -> torch.Tensor:
        inner: torch.Tensor = self.second(functional.silu(self.first(functional.silu(x_BWH))))
        return x_BWH + inner


class EnvelopeAdapter(nn.Module):
    """Curves to residuals.

    Nothing in it looks at more than a neighbourhood: what it says of a moment does not depend on how long the
    soundtrack is.

    Args:
        entries: Where the residuals enter.
        stride: Values of a curve in a latent frame.
        width: Channels.
        blocks: Residual blocks a level.
    """

    def __init__(self, entries: Sequence[Entry], stride: int, width: int, blocks: int = 2) -> None:
        super().__init__()
        self.entries, self.stride = list(entries), stride
        levels = 1 + max(entry.level for entry in entries)
        self.read = nn.Conv1d(CHANNELS, width, KERNEL_STRIDES * stride, stride=stride, padding=stride)
        self.levels = nn.ModuleList(nn.Sequential(*(_Block(width) for _ in range(blocks))) for _ in range(levels))
        self.outputs = nn.ModuleList(nn.Conv1d(width, entry.channels, 1) for entry in self.entries)
        for output in self.outputs:
            for parameter in output.parameters():
                nn.init.zeros_(parameter)

    def forward(self, curves_BKF: torch.Tensor) -> list[torch.Tensor]:
        """Residuals (B, C, H) of the entries, float32.

        Args:
            curves_BKF: Level and onsets; F is a multiple of `stride` times what the UNet halves.
        """
        x_BWH = self.read(curves_BKF)
        by_level = []
        for level, blocks in enumerate(self.levels):
            x_BWH = blocks(functional.avg_pool1d(x_BWH, 2) if level else x_BWH)
            by_level.append(x_BWH)
        return [output(by_level[entry.level]) for entry, output in zip(self.entries, self.outputs, strict=True)]


def stride_of(frame_s: float) -> int:
    """Values of a curve in a latent frame.

    Raises:
        ValueError: When they are no whole number.
    """
    stride = round(frame_s * CURVE_HZ)
    if stride < 1 or abs(stride - frame_s * CURVE_HZ) > 1e-6:
        raise ValueError(f"latent frames of {frame_s:g} s hold no whole number of a curve's {CURVE_HZ} values a second")
    return stride


class CurveTape:
    """The residuals of one soundtrack, of which each window takes its part.

    A window that begins between two frames of a halved level needs them from there: for each such beginning the curve
    is read anew, at most as often as the UNet halves, however many windows there are.

    Args:
        adapter: The network, float32.
        curve: What is followed.
        frames: Latent frames of the soundtrack.
        scale: How strongly.
    """

    def __init__(self, adapter: EnvelopeAdapter, curve: Curve, frames: int, scale: float) -> None:
        self._adapter, self._scale = adapter, scale
        self._factor = 2 ** (len(adapter.levels) - 1)
        fitted = curve.lasting(frames * adapter.stride)
        values = np.stack([fitted.level_F, fitted.onset_F, fitted.weight_F]).astype(np.float32)
        self._values_KF = torch.from_numpy(values).to(adapter.read.weight.device)
        self._tapes: dict[int, Residuals] = {}

    def part(self, start: int, frames: int) -> Residuals:
        """Residuals (C, H) of the window that begins at a latent frame and has so many, a multiple of the halvings."""
        ahead = -start % self._factor
        if ahead not in self._tapes:
            self._tapes[ahead] = self._read(ahead)
        return [
            tape_CH[:, (start + ahead) >> entry.level : (start + ahead + frames) >> entry.level]
            for entry, tape_CH in zip(self._adapter.entries, self._tapes[ahead], strict=True)
        ]

    def _read(self, ahead: int) -> Residuals:
        """All residuals, with so many latent frames of nothing before them."""
        stride = self._adapter.stride
        whole = stride * self._factor
        before = ahead * stride
        after = -(before + self._values_KF.shape[1]) % whole
        values_1KF = functional.pad(self._values_KF, (before, after))[None]
        weights_11F = values_1KF[:, CHANNELS:]
        found = []
        for entry, residual_BCH in zip(self._adapter.entries, self._adapter(values_1KF[:, :CHANNELS]), strict=True):
            weight_11H = functional.avg_pool1d(weights_11F, stride << entry.level)
            found.append((self._scale * weight_11H * residual_BCH)[0])
        return found


@contextmanager
def added(unet: Any, entries: Sequence[Entry], residuals_BCH: Residuals) -> Iterator[None]:
    """In the block, residuals are added inside of a UNet.

    Args:
        unet: UNet2DConditionModel.
        entries: Where.
        residuals_BCH: What, one an entry; B is that of the UNet's input, or less: then they are for its last rows.
    """
    with ExitStack() as scope:
        for entry, residual_BCH in zip(entries, residuals_BCH, strict=True):
            hook = unet.get_submodule(entry.module).register_forward_hook(_adding(residual_BCH))
            scope.callback(hook.remove)
        yield


def _adding(residual_BCH: torch.Tensor) -> Callable[..., Any]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        hidden_BCHW = output[0] if isinstance(output, tuple) else output
        residual_BCH1 = residual_BCH[..., None].to(hidden_BCHW.dtype)
        rows = len(residual_BCH1)
        if rows == len(hidden_BCHW):
            changed_BCHW = hidden_BCHW + residual_BCH1
        else:
            changed_BCHW = hidden_BCHW.clone()
            changed_BCHW[-rows:] += residual_BCH1
        return (changed_BCHW, *output[1:]) if isinstance(output, tuple) else changed_BCHW

    return hook


@dataclass(frozen=True)
class Steering:
    """What is added while a tape of soundtracks is denoised.

    Attributes:
        unet: UNet2DConditionModel, not compiled: hooks that come and go would have it compiled again.
        entries: Where.
        rows: For each condition the residuals of its window; None for those that follow nothing.
        steps: In how many steps, from the first on.
    """

    unet: Any
    entries: Sequence[Entry]
    rows: Sequence[Residuals | None]
    steps: int

    def concerns(self, rows: Sequence[int], step: int) -> bool:
        """Whether any of some windows is steered in a step."""
        return step < self.steps and any(self.rows[row] is not None for row in rows)

    @contextmanager
    def adding(self, rows: Sequence[int]) -> Iterator[None]:
        """In the block the UNet is steered: its last rows are these windows, of one length, under their conditions."""
        given = [self.rows[row] for row in rows]
        some = next(item for item in given if item is not None)
        residuals = [
            torch.stack([torch.zeros_like(some[place]) if item is None else item[place] for item in given])
            for place in range(len(self.entries))
        ]
        with added(self.unet, self.entries, residuals):
            yield
