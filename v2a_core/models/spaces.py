"""Whether CLAP and generator share one space, and what to do about an output of another one.

An embedding of another CLAP, or of a sound that came to CLAP by another path, makes the generator produce noise.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from v2a_core.media.types import CLAP_PATH
from v2a_core.models import digests
from v2a_core.models.errors import ModelError
from v2a_core.models.kinds import GENERATORS
from v2a_core.models.local import LocalBundle

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpaceCheck:
    """What the comparison found.

    Attributes:
        status: `same`, `different`, or `unchecked` when one of the two has no text tower.
        message: For a person.
    """

    status: Literal["same", "different", "unchecked"]
    message: str


def check_spaces(bundle: LocalBundle, *, on_mismatch: Literal["refuse", "warn"] = "refuse") -> SpaceCheck:
    """Compare CLAP's text tower with the generator's text encoder, tensor by tensor.

    The generator was trained on embeddings of one CLAP, and its folder holds that CLAP's text tower. The same text
    tower beside the audio tower means the same space. Half precision on either side is allowed for.

    Args:
        bundle: The models.
        on_mismatch: Whether another space is an error or a warning.

    Raises:
        ModelError: When they differ and `on_mismatch` is `refuse`; names both sides and what differs.
    """
    theirs = GENERATORS[bundle.generator_name].component.text_tower(bundle.generator)
    try:
        # Each job asks, and the answer is behind a gigabyte: what was found equal is remembered.
        pair = f"text tower as in {_digest(theirs)}"
        count = digests.remembered(bundle.audio.path, pair, lambda _: str(_compared(bundle, theirs)))
    except _NotEqualError as found:
        if on_mismatch == "refuse" and found.check.status == "different":
            raise ModelError(found.check.message) from None
        logger.warning(found.check.message)
        return found.check
    return SpaceCheck("same", f"CLAP and generator share one space: {count} tensors of the text tower are equal")


class _NotEqualError(Exception):
    """There is nothing to compare, or it differs."""

    def __init__(self, check: SpaceCheck) -> None:
        super().__init__(check.message)
        self.check = check


def _digest(text_tower: Path | None) -> str:
    if text_tower is None or not text_tower.exists():
        return "none"
    files = digests.tree(text_tower) if text_tower.is_dir() else {text_tower.name: text_tower}
    return digests.fingerprint(files)


def _compared(bundle: LocalBundle, folder: Path | None) -> int:
    """How many tensors are equal; all of them are.

    Raises:
        _NotEqualError: When they are not, or there are none.
    """
    hears = bundle.audio.settings
    ours = hears.text_tower(bundle.audio.path)
    if not ours or folder is None:
        lacking = bundle.audio.path if not ours else bundle.generator_path
        message = (
            f"{lacking} holds no text tower: it cannot be checked that {bundle.audio.path} is the CLAP which the "
            f"generator {bundle.generator_path} was trained with"
        )
        raise _NotEqualError(SpaceCheck("unchecked", message))
    differences = _differences(ours, hears.text_tower(folder))
    if not differences:
        return len(ours)
    shown = "; ".join(differences[:3]) + (f"; and {len(differences) - 3} more" if len(differences) > 3 else "")
    message = (
        f"CLAP and generator are of different spaces: the text tower of {bundle.audio.path} is not the one of {folder} "
        f"({shown}). Embeddings of one mean nothing to the other: use the CLAP that the generator was trained with"
    )
    raise _NotEqualError(SpaceCheck("different", message))


def made_anew(audio_space: str, *jobs: str) -> str | None:
    """What to do about an output of an audio space that sounds came into by another path than this program's.

    Args:
        audio_space: Name of the space.
        jobs: What makes such an output, in this order, such as `embed`.

    Returns:
        A sentence for a person; None when the path is this program's.
    """
    if audio_space.partition(":")[0].endswith(f"+{CLAP_PATH}"):
        return None
    return (
        f"sounds came into {audio_space!r} by another path than this program's, +{CLAP_PATH}, which resamples as "
        "AudioLDM does, so that the same CLAP heard something else; make it anew in another folder: "
        + ", then ".join(f"`v2a {job} ... --output FOLDER`" for job in jobs)
    )


def _differences(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> list[str]:
    lines = [f"{name} is only in the CLAP checkpoint" for name in sorted(ours.keys() - theirs.keys())]
    lines += [f"{name} is only in the generator" for name in sorted(theirs.keys() - ours.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        a, b = ours[name], theirs[name]
        if a.shape != b.shape:
            lines.append(f"{name} is {tuple(a.shape)} and {tuple(b.shape)}")
        elif not _same_numbers(a, b):
            lines.append(f"{name} differs by up to {(a.float() - b.float()).abs().max().item():.2g}")
    return lines


def _same_numbers(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal up to the rounding of the coarser of the two formats (and fp16's smallest steps)."""
    import torch

    if not (a.is_floating_point() and b.is_floating_point()):
        return torch.equal(a, b)
    step = max(torch.finfo(a.dtype).eps, torch.finfo(b.dtype).eps)
    return torch.allclose(a.float(), b.float(), rtol=step, atol=1e-7)
