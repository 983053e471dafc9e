"""The UNet on real sounds: how well it tells the noise, under which condition, and as which network.

A trained UNet tells the noise in a sound best when it is told what sounds there, worse when it is told nothing, and
worst when it is told something else. Of several ways to run the same weights the right one has the lowest error: it
is what they were trained as.

Shapes: N sounds, C channels, H and W of a latent, D numbers of a condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from v2a_core.generators.audioldm.components import build, build_scheduler
from v2a_core.generators.audioldm.layout import CONVERTED_HEADS, AudioLdmSource, PartName
from v2a_core.inspection.opened import Opened
from v2a_core.inspection.rows import Row, judged, unchecked
from v2a_core.models import ModelError
from v2a_core.protocols import Floats

LEVELS = (300, 500, 700, 900)  # of 1000 steps of noise
_UNIFORM_HEADS = (2, 4, 8)
_HEAD_CHANNELS = (16, 32, 64)
_SOUNDS, _VARIANT_SOUNDS = 12, 6
SPREAD = (0.75, 1.35)
NEEDED = "--sounds FOLDER with a few sounds that are named by what is heard"


@dataclass(frozen=True)
class Variant:
    """The parts of a source with the UNet run in another way; a source itself.

    Attributes:
        source: What is varied.
        heads: Heads at all levels, or of each; None: as the source says.
        exchanged: Whether q and k change places.
    """

    source: AudioLdmSource
    heads: int | tuple[int, ...] | None = None
    exchanged: bool = False

    @property
    def path(self) -> Path:
        """Of the source."""
        return self.source.path

    @property
    def tokenizer(self) -> Path:
        """Of the source."""
        return self.source.tokenizer

    @property
    def head_channels(self) -> int | None:
        """Of the source."""
        return self.source.head_channels

    def place(self, part: PartName) -> Path:
        """Where a part is."""
        return self.source.place(part)

    def config(self, part: PartName) -> dict[str, Any]:
        """The part's configuration; the UNet's with other heads."""
        config = self.source.config(part)
        if part != "unet" or self.heads is None:
            return config
        return {**config, "attention_head_dim": self.heads if isinstance(self.heads, int) else list(self.heads)}

    def tensors(self, part: PartName) -> dict[str, torch.Tensor]:
        """The part's weights; the UNet's with q and k exchanged."""
        tensors = self.source.tensors(part)
        return {_exchanged(name): item for name, item in tensors.items()} if self.exchanged else tensors

    def scheduler_config(self) -> dict[str, Any]:
        """Of the source."""
        return self.source.scheduler_config()


def check_spread(opened: Opened) -> list[Row]:
    """Whether latents of sounds have unit variance, as the UNet was trained with."""
    name, expected = "spread of scaled latents", f"1 ({SPREAD[0]:g} to {SPREAD[1]:g})"
    if not opened.material.sounds:
        return [unchecked(name, expected, NEEDED)]
    spread = float(opened.latents.std())
    factor = float(opened.generator.parts.vae.config.scaling_factor)
    advice = (
        f"the VAE's scale factor is wrong: scaling_factor is {factor:g}, these sounds say about {factor / spread:.3g}; "
        "take the one of the model's authors (scale_factor of the original checkpoint)"
    )
    return [judged(name, expected, f"{spread:.3f}", SPREAD[0] <= spread <= SPREAD[1], advice)]


def check_null(opened: Opened) -> list[Row]:
    """Whether guidance leads away from CLAP's embedding of the empty text."""
    null_D = opened.generator.null_embedding
    text_D = opened.generator.embed_text([""])[0]
    length, cosine = float(np.linalg.norm(null_D)), float(null_D @ text_D)
    right = abs(length - 1) < 1e-3 and cosine > 0.999
    cause = "the null condition is zero" if length < 1e-3 else "the null condition is not the empty text's embedding"
    return [
        judged(
            "null condition of guidance",
            "CLAP's embedding of the empty text, length 1",
            f"length {length:.3f}, cosine {cosine:.3f} to it",
            right,
            f"{cause}: AudioLDM was trained with that of the empty text",
        )
    ]


def check_conditions(opened: Opened) -> list[Row]:
    """The error at four noise levels: under the own condition, the null, another's."""
    expected = "own < null < another's condition"
    if not opened.material.sounds:
        return [unchecked(f"error of the UNet at t = {level}", expected, NEEDED) for level in LEVELS]
    own_ND = opened.embeddings[:_SOUNDS]
    null_ND = np.repeat(opened.generator.null_embedding[None], len(own_ND), axis=0)
    conditions = (own_ND, null_ND, opened.embeddings[opened.others][:_SOUNDS])
    rows = []
    for level in LEVELS:
        own, null, other = (
            float(_errors(opened, opened.generator.parts.unet, item, level).mean()) for item in conditions
        )
        advice = (
            "the UNet does not follow CLAP's conditions: another CLAP, another scale factor, or weights that are not "
            "read as they were trained"
        )
        found = f"{own:.4f}, {null:.4f}, {other:.4f}"
        rows.append(judged(f"error of the UNet at t = {level}", expected, found, own < null < other, advice))
    return rows


def check_layouts(opened: Opened) -> list[Row]:
    """The error with other attention heads, and with q and k exchanged: as it runs it must be the lowest."""
    expected = "as it runs: the lowest error"
    if not opened.material.sounds:
        return [unchecked("attention of the UNet", expected, NEEDED)]
    runs = _error_as(opened, Variant(opened.source))
    tried = [(name, _error_as(opened, variant), advice) for name, variant, advice in variants(opened.source)]
    lowest = min(error for _, error, _ in tried)
    lower = "lower, too; the lowest of all is what the weights were trained as"
    return [
        judged(
            f"UNet with {name}",
            f"more than {runs:.5f}, as it runs (heads {list(heads_of(opened.source))})",
            f"{error:.5f}",
            error > runs,
            advice if error == lowest else lower,
        )
        for name, error, advice in tried
    ]


def variants(source: AudioLdmSource) -> list[tuple[str, Variant, str]]:
    """Other ways to run a UNet: name, source, and what to do when it is the better one."""
    widths: Sequence[int] = source.config("unet")["block_out_channels"]
    now = heads_of(source)
    found = [("q and k exchanged", Variant(source, exchanged=True), "q and k are swapped in the attention's weights")]
    layouts: dict[tuple[int, ...], tuple[str, str]] = {}
    for channels in _HEAD_CHANNELS:
        if all(width % channels == 0 for width in widths):
            heads = tuple(width // channels for width in widths)
            layouts[heads] = (f"{channels} channels a head", f"set generator.head_channels: {channels}")
    for count in _UNIFORM_HEADS:
        if all(width % count == 0 for width in widths):
            layouts[(count,) * len(widths)] = (
                f"{count} heads at every level",
                f"set attention_head_dim: {count} in unet/config.json, and leave generator.head_channels out",
            )
    for heads, (name, advice) in layouts.items():
        if heads != now:
            cause = f"the weights were trained with another layout of heads than {list(now)}: {advice}"
            found.append((f"{name} {list(heads)}", Variant(source, heads=heads), cause))
    return found


def heads_of(source: AudioLdmSource) -> tuple[int, ...]:
    """Heads of each level, as a source runs."""
    config = source.config("unet")
    said = config.get("attention_head_dim", CONVERTED_HEADS)  # diffusers' word for the number of heads
    return (said,) * len(config["block_out_channels"]) if isinstance(said, int) else tuple(said)


def _error_as(opened: Opened, variant: Variant) -> float:
    """Mean over noise levels of the error under the own condition, on a few sounds."""
    unet = build(variant, "unet").to(opened.device)
    few = opened.embeddings[:_VARIANT_SOUNDS]
    return float(np.mean([float(_errors(opened, unet, few, level).mean()) for level in LEVELS]))


@torch.inference_mode()
def _errors(opened: Opened, unet: Any, conditions_ND: Floats, level: int) -> torch.Tensor:
    """Mean squared error of the predicted noise of each of the first sounds, (N,); the noise is the same each time."""
    latents_NCHW = opened.latents[: len(conditions_ND)]
    noise_NCHW = torch.randn(latents_NCHW.shape, generator=torch.Generator().manual_seed(opened.seed + level))
    noise_NCHW = noise_NCHW.to(opened.device)
    scheduler = build_scheduler("ddim", opened.generator.parts.scheduler_config)
    noisy_NCHW = scheduler.add_noise(latents_NCHW, noise_NCHW, torch.tensor(level))
    labels_ND = torch.from_numpy(conditions_ND).to(opened.device)
    errors = []
    for at in range(len(labels_ND)):
        noisy_1CHW = noisy_NCHW[at : at + 1]
        made = unet(noisy_1CHW, level, encoder_hidden_states=None, class_labels=labels_ND[at : at + 1]).sample
        errors.append((_noise_of(scheduler, made, noisy_1CHW, level) - noise_NCHW[at : at + 1]).square().mean())
    return torch.stack(errors)


def _noise_of(scheduler: Any, made: torch.Tensor, noisy: torch.Tensor, level: int) -> torch.Tensor:
    """The noise that a UNet means by what it says (any shape, as all three), by the scheduler's `prediction_type`."""
    kept: torch.Tensor = scheduler.alphas_cumprod[level].to(made.device)
    match scheduler.config.prediction_type:
        case "epsilon":
            return made
        case "v_prediction":
            return kept.sqrt() * made + (1 - kept).sqrt() * noisy
        case other:
            raise ModelError(f"prediction_type {other!r} of the scheduler is not known: epsilon or v_prediction is")


def _exchanged(name: str) -> str:
    for one, other in ((".to_q.", ".to_k."), (".to_k.", ".to_q.")):
        if one in name:
            return name.replace(one, other)
    return name
