"""All checks of a bundle, in an order in which the first wrong row is nearest to the cause."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from v2a_core.inspection import decoding, denoising, files, hearing, origin, seeing, whole
from v2a_core.inspection.material import draw, read
from v2a_core.inspection.opened import Opened
from v2a_core.inspection.rows import Row
from v2a_core.models import Bundle, ModelError

Check = Callable[[Opened], Sequence[Row]]

logger = logging.getLogger(__name__)

# The miniature's world has twelve kinds: two sounds and four pictures of each.
SOUNDS, PICTURES = 24, 48
CHECKS: tuple[Check, ...] = (
    files.check_hashes,
    files.check_fits,
    files.check_space,
    files.check_sizes,
    origin.check_origin,
    seeing.check_pixels,
    seeing.check_embedding,
    seeing.check_activation,
    seeing.check_golden,
    hearing.check_resampling,
    hearing.check_zero_shot,
    denoising.check_spread,
    decoding.check_round_trip,
    denoising.check_null,
    denoising.check_conditions,
    denoising.check_layouts,
    whole.check_whole,
)


def open_bundle(
    bundle: Bundle,
    *,
    sounds: Path | None = None,
    pictures: Path | None = None,
    checkpoint: Path | None = None,
    device: str | None = None,
) -> Opened:
    """A bundle, and what it is checked on.

    Args:
        bundle: Which one; fetched where it is remote.
        sounds: Folder of sounds; without one the miniature is checked on its own world.
        pictures: Folder of pictures; the same.
        checkpoint: AudioLDM's original checkpoint.
        device: Where models run; None: on a GPU where there is one.

    Raises:
        ConfigError: For folders that cannot be read.
        ModelError: When the bundle cannot be had.
    """
    given = read(sounds, pictures)
    local = bundle.resolve()
    if local.name.startswith("miniature"):
        drawn = draw(SOUNDS, PICTURES)
        given = type(given)(given.sounds or drawn.sounds, given.pictures or drawn.pictures, drawn=True)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Opened(bundle, local, given, checkpoint, device)


def inspect(opened: Opened, checks: Sequence[Check] | None = None) -> Iterator[Row]:
    """The rows of checks (None: of all), each once it is known; what the models make impossible is a wrong row."""
    for check in CHECKS if checks is None else checks:
        started = time.perf_counter()
        try:
            yield from check(opened)
        except (ModelError, ValueError) as error:
            name = check.__name__.removeprefix("check_").replace("_", " ")
            yield Row(name, "can be computed", str(error), "wrong", "the models cannot be run: see what was found")
        logger.debug("%s took %.1f s", check.__name__, time.perf_counter() - started)
