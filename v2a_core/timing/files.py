"""Curves from files: a table by hand, or the envelope of a sound."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.media.types import MediaError
from v2a_core.media.write import read_audio
from v2a_core.protocols import CURVE_HZ, Curve
from v2a_core.storage.public import public
from v2a_core.timing.envelope import compress, envelope, onset_bumps, rises

TABLE_SUFFIX = ".csv"
MAX_S = 6 * 3600.0  # as long as the longest video
_COLUMNS = ("time_s", "level", "onset")


def read_curve(uri: str) -> Curve:
    """The curve of a file: of a table with the suffix .csv, or of a sound.

    A table has the columns `time_s` (ascending), `level` (0..1, amplitude as a share of the loudest moment; straight
    lines between the rows, and the last one goes on), and maybe `onset` (above 0 where something begins; without the
    column it is read from the level).

    Args:
        uri: File or URI.

    Raises:
        ConfigError: When it is not there, or no curve; says what is wrong, and where.
    """
    if PurePosixPath(uri.lower()).suffix == TABLE_SUFFIX:
        return _local(uri, _read_table)
    return read_envelope(uri)


def read_envelope(uri: str) -> Curve:
    """The envelope of a sound file.

    Raises:
        ConfigError: When it is not there, no sound, or silent.
    """
    return _local(uri, _read_sound)


def digest(curve: Curve) -> str:
    """32 hexadecimal digits of all that a curve says, for manifests."""
    state = hashlib.blake2b(f"{CURVE_HZ} {curve.holds}".encode(), digest_size=16)
    for values_F in (curve.level_F, curve.onset_F, curve.weight_F):
        state.update(np.ascontiguousarray(values_F, np.float32).tobytes())
    return state.hexdigest()


def _local(uri: str, read: Callable[[Path, str], Curve]) -> Curve:
    try:
        with storage.local_copy(uri) as path:
            return read(path, public(uri))
    except FileNotFoundError:
        raise ConfigError(f"there is no file {public(uri)} to follow") from None


def _read_sound(path: Path, name: str) -> Curve:
    try:
        waveform_T, rate = read_audio(path)
        if not np.isfinite(waveform_T).all():
            raise ValueError("it has samples that are NaN or infinite")
        _check_length(len(waveform_T) / rate)
        return envelope(waveform_T, rate)
    except MediaError as error:
        raise ConfigError(f"{name} cannot be followed: {error}. A curve is a sound file, or a table NAME.csv") from None
    except ValueError as error:
        raise ConfigError(f"{name} cannot be followed: {error}") from None


def _read_table(path: Path, name: str) -> Curve:
    try:
        times, levels, onsets = _columns(path.read_text(encoding="utf-8-sig"))
        _check_length(times[-1])
    except (ValueError, csv.Error) as error:  # of another encoding, too
        raise ConfigError(f"{name} is no curve: {error}") from None
    frames = max(1, math.floor(times[-1] * CURVE_HZ + 1e-6) + 1)
    level_F = compress(np.interp((np.arange(frames) + 0.5) / CURVE_HZ, times, levels))
    said = None if onsets is None else [at for at, onset in zip(times, onsets, strict=True) if onset]
    begun = rises(level_F) if said is None else np.array(said)
    return Curve(level_F, onset_bumps(begun, frames), np.ones_like(level_F), holds=True)


def _columns(text: str) -> tuple[list[float], list[float], list[float] | None]:
    """Times, levels, and onsets where they are said.

    Raises:
        ValueError: Saying in which line what is wrong.
    """
    lines = list(csv.reader(text.splitlines(), skipinitialspace=True))
    head = [cell.strip() for cell in lines[0]] if lines else []
    if not {"time_s", "level"} <= set(head) or not set(head) <= set(_COLUMNS):
        found = ", ".join(head) or "nothing"
        raise ValueError(f"its first line must name the columns time_s, level and maybe onset, not {found}")
    rows = [(number, cells) for number, cells in enumerate(lines[1:], 2) if any(cell.strip() for cell in cells)]
    if not rows:
        raise ValueError("it has no rows")
    times = list(_numbers(rows, head, "time_s", math.inf))
    levels = list(_numbers(rows, head, "level", 1.0))
    for (number, _), before, after in zip(rows[1:], times, times[1:], strict=False):
        if after < before:
            raise ValueError(f"line {number}: time_s = {after:g} comes after {before:g}; times must ascend")
    if not any(levels):
        raise ValueError("level is 0 everywhere: nothing would be heard")
    return times, levels, list(_numbers(rows, head, "onset", 1.0)) if "onset" in head else None


def _numbers(rows: Sequence[tuple[int, list[str]]], head: Sequence[str], name: str, most: float) -> Iterator[float]:
    place = head.index(name)
    for number, cells in rows:
        text = cells[place].strip() if place < len(cells) else ""
        text = text or ("0" if name == "onset" else "")
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"line {number}: {name} = {text!r} is no number") from None
        if not (math.isfinite(value) and 0 <= value <= most):
            allowed = "0 or more" if most == math.inf else f"0 to {most:g}"
            raise ValueError(f"line {number}: {name} = {text}; it must be {allowed}")
        yield value


def _check_length(length_s: float) -> None:
    if length_s > MAX_S:
        raise ValueError(f"it is {length_s:,.0f} s long; curves have up to {MAX_S:,.0f} s")
