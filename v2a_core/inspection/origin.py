"""The generator's weights against those in AudioLDM's original checkpoint, tensor by tensor: raw or averaged?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from v2a_core.generators.audioldm.layout import PartName
from v2a_core.generators.audioldm.original import OriginalCheckpoint
from v2a_core.inspection.opened import Opened
from v2a_core.inspection.rows import Row, judged, unchecked
from v2a_core.models import ModelError

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

NEEDED = "--checkpoint FILE, AudioLDM's original checkpoint of this generator"
_PARTS: tuple[PartName, ...] = ("vae", "vocoder", "text_encoder")
_CLOSE = 2e-3  # of the largest number of a tensor: half precision on either side


def check_origin(opened: Opened) -> list[Row]:
    """UNet, VAE, vocoder and text tower against the checkpoint's."""
    path = opened.checkpoint or _beside(opened)
    if path is None:
        return [unchecked("weights against the original checkpoint", "equal; the UNet's averaged (EMA)", NEEDED)]
    tokenizer = opened.source.tokenizer
    rows = [_unet_row(opened.source.tensors("unet"), path, tokenizer)]
    theirs = OriginalCheckpoint(path, tokenizer)
    for part in _PARTS:
        differing = differences(opened.source.tensors(part), theirs.tensors(part))
        advice = f"the {part} is not the checkpoint's: {'; '.join(differing[:3])}"
        rows.append(
            judged(f"{part} against the checkpoint", "equal", f"{len(differing)} differ", not differing, advice)
        )
    if opened.local.generator.settings.checkpoint is None:
        rows.append(_scale_row(opened, theirs))
    return rows


def _unet_row(ours: Tensors, path: Path, tokenizer: Path) -> Row:
    name, expected = "UNet against the checkpoint", "equal to its averaged weights (EMA)"
    found: dict[str, list[str]] = {}
    for weights in ("ema", "raw"):
        try:
            theirs = OriginalCheckpoint(path, tokenizer, "raw" if weights == "raw" else "ema").tensors("unet")
        except ModelError as error:
            return Row(name, expected, str(error), "wrong", "name AudioLDM's original checkpoint")
        found[weights] = differences(ours, theirs)
        if not found[weights]:
            break
    if not found["ema"]:
        return Row(name, expected, "EMA", "right")
    if not found["raw"]:
        advice = "raw weights instead of EMA: set generator.checkpoint to the checkpoint and generator.weights: ema"
        return Row(name, expected, "equal to its raw weights", "wrong", advice)
    best = min(found.values(), key=len)
    swapped = _swapped(best)
    advice = "q and k are swapped" if swapped else "these are weights of another model"
    return Row(name, expected, f"{len(best)} tensors differ", "wrong", f"{advice}: {'; '.join(best[:3])}")


def differences(ours: Tensors, theirs: Tensors) -> list[str]:
    """Names of tensors that only one side has or that differ, and how much; counters and unused buffers aside."""
    unused = ("position_ids", "token_type_ids")
    one, other = (
        {k: v for k, v in t.items() if not k.endswith(unused) and k not in ("mean", "scale")} for t in (ours, theirs)
    )
    lines = [f"{name} is only on one side" for name in sorted(one.keys() ^ other.keys())]
    for name in sorted(one.keys() & other.keys()):
        a, b = one[name].float(), other[name].float()
        if a.shape != b.shape:
            lines.append(f"{name} is {tuple(a.shape)} and {tuple(b.shape)}")
        elif a.numel() and float((a - b).abs().max()) > _CLOSE * max(1e-4, float(b.abs().max())):
            lines.append(f"{name} differs by up to {float((a - b).abs().max()):.2g}")
    return lines


def _swapped(lines: list[str]) -> bool:
    return bool(lines) and all(".to_q." in line or ".to_k." in line for line in lines)


def _scale_row(opened: Opened, theirs: OriginalCheckpoint) -> Row:
    ours, said = (float(source.config("vae").get("scaling_factor", 0.18215)) for source in (opened.source, theirs))
    return judged(
        "scale factor against the checkpoint",
        f"{said:.7g}",
        f"{ours:.7g}",
        abs(ours - said) <= 1e-5 * said,
        f"wrong scale factor: set scaling_factor in vae/config.json to {said:.10g}",
    )


def _beside(opened: Opened) -> Path | None:
    """The checkpoint that the bundle names itself: as its generator, or for CLAP's sake."""
    from v2a_core.models.checkpoints import load_tensors

    for path in (opened.local.generator.path, opened.local.audio.path):
        if path.is_file() and any(name.startswith("model.diffusion_model.") for name in load_tensors(path)):
            return path
    return None
