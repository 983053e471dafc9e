"""All checks of a bundle, in an order in which the first wrong row is nearest to the cause."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from v2a_core.config import ConfigError
from v2a_core.inspection import decoding, denoising, files, hearing, origin, seeing, whole
from v2a_core.inspection.material import Material, draw, read
from v2a_core.inspection.opened import Opened
from v2a_core.inspection.report import Report
from v2a_core.inspection.rows import Row
from v2a_core.models import Bundle, ModelError
from v2a_core.storage.public import public_text

Check = Callable[[Opened], Sequence[Row]]

logger = logging.getLogger(__name__)

_FILES, _NOT_HAD = "files of the bundle", "all other checks need them: see what was found, then check again"

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
    bundle: Bundle, given: Material | None = None, checkpoint: Path | None = None, device: str | None = None
) -> Opened:
    """A bundle, and what it is checked on.

    Args:
        bundle: Which one; fetched where it is remote.
        given: Sounds and pictures; the miniature is checked on its own world where there are none.
        checkpoint: AudioLDM's original checkpoint.
        device: Where models run; None: on a GPU where there is one.

    Raises:
        ConfigError: When the bundle cannot be had.
    """
    local, given = bundle.resolve(), given or Material([], [])
    if local.name.startswith("miniature"):
        drawn = draw(SOUNDS, PICTURES)
        given = Material(given.sounds or drawn.sounds, given.pictures or drawn.pictures, drawn=True)
    return Opened(bundle, local, given, checkpoint, device or _fastest())


def _fastest() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def inspect(opened: Opened, checks: Sequence[Check] | None = None) -> Iterator[Row]:
    """The rows of checks (None: of all), each once it is known; what the models make impossible is a wrong row."""
    for check in CHECKS if checks is None else checks:
        started = time.perf_counter()
        try:
            yield from check(opened)
        except (ModelError, ValueError, RuntimeError) as error:  # the last is what torch raises, and for NaN in weights
            name = check.__name__.removeprefix("check_").replace("_", " ")
            yield Row(name, "can be computed", str(error), "wrong", "the models cannot be run: see what was found")
        logger.debug("%s took %.1f s", check.__name__, time.perf_counter() - started)


def check_bundle(
    bundle: Bundle,
    *,
    sounds: Path | None = None,
    pictures: Path | None = None,
    checkpoint: Path | None = None,
    device: str | None = None,
    told: Callable[[Row], None] = lambda row: None,
) -> Report:
    """Check a bundle.

    One whose files cannot be had, or are not what it says, has a row of that alone: nothing else can be looked at.

    Args:
        bundle: Which one.
        sounds: Folder of sounds; without one the miniature is checked on its own world.
        pictures: Folder of pictures; the same.
        checkpoint: AudioLDM's original checkpoint.
        device: Where models run; None: on a GPU where there is one.
        told: Is told of each row once it is known.

    Raises:
        ConfigError: For sounds, pictures or a checkpoint that cannot be read.
    """
    given = read(sounds, pictures)
    if checkpoint is not None and not checkpoint.is_file():
        raise ConfigError(f"--checkpoint {checkpoint}: there is no such file")
    started, rows = time.perf_counter(), list[Row]()

    def found(row: Row) -> None:
        rows.append(row)
        told(row)

    try:
        opened = open_bundle(bundle, given, checkpoint, device)
    except ConfigError as error:
        said = ". ".join(public_text(str(error)).splitlines())
        found(Row(_FILES, "all are there, and what the bundle says", said, "wrong", _NOT_HAD))
        return Report(bundle.name, device or _fastest(), rows, time.perf_counter() - started)
    for row in inspect(opened):
        found(row)
    return Report(
        bundle.name,
        opened.device,
        rows,
        time.perf_counter() - started,
        opened.local.fingerprints(),
        opened.local.generator.settings.doubt,
        len(opened.material.sounds),
        len(opened.material.pictures),
    )
