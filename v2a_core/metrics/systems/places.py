"""Where a system's sounds lie: an output of `v2a generate`, a folder of sound files by id, or an index of them.

Every file is looked at once: its sha256, rate, length, and whether it is silent or cannot be read. Nothing that is
wrong with a file is passed over, and nothing of it stops a comparison: it is counted and listed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.catalog import CatalogSettings, Source, list_sources
from v2a_core.catalog.files import SOUND_SUFFIXES, VIDEO_SUFFIXES
from v2a_core.compute.threads import ScopedThreads
from v2a_core.config import ConfigError
from v2a_core.media.resample import is_silent
from v2a_core.media.types import MediaError
from v2a_core.media.write import read_pcm
from v2a_core.metrics import inputs
from v2a_core.outputs import manifest
from v2a_core.tables import arrays

_INDEX_SUFFIXES = (".csv", ".jsonl", ".parquet")
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Place:
    """A sound of a system, or a reference, before anybody has looked at it.

    Attributes:
        path: Its id as a path: its place in the folder without the suffix, or what an index calls it.
        uri: Where it lies.
        source: The video that it is the sound of; None for a sound file.
        label, caption: Of an index.
        condition: What it was made from, float32 (512,), where that is known.
        prompt: Words that it was made from beside the pictures, where they are known.
        seed: Likewise.
    """

    path: str
    uri: str
    source: Source | None = None
    label: str | None = None
    caption: str | None = None
    condition: npt.NDArray[np.float32] | None = None
    prompt: str | None = None
    seed: int | None = None

    @property
    def stem(self) -> str:
        """Its id without the folders."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A sound file that was looked at.

    Attributes:
        place: Where it is.
        sha256: Of the file; empty when it could not be had.
        sample_rate: Hz.
        length_s: Seconds.
        silent: Whether it is digitally silent.
        error: Why it cannot be heard; empty when it can.
    """

    place: Place
    sha256: str = ""
    sample_rate: int = 0
    length_s: float = 0.0
    silent: bool = False
    error: str = ""


def list_place(place: str, *, videos: bool = False) -> list[Place]:
    """The sounds of a system, or the references.

    Args:
        place: An output of `v2a generate`, a folder or prefix of sound files, or an index: a table (CSV, JSON lines,
            Parquet) with the columns `id` and `path`, and `label`, `caption`, `prompt` and `seed` if it has them.
        videos: Whether videos count, for their own sound.

    Raises:
        ConfigError: When there is nothing.
    """
    if place.endswith(_INDEX_SUFFIXES):
        found = _of_index(place)
    elif storage.exists(storage.join(place, manifest.FILE_NAME)):
        found = _of_soundtracks(place)
    else:
        found = _of_folder(place, videos)
    if not found:
        kinds = ", ".join(sorted(SOUND_SUFFIXES | (VIDEO_SUFFIXES if videos else frozenset())))
        raise ConfigError(f"{place} holds no sound ({kinds}), is no index with id and path, and no soundtracks")
    return found


def by_id(places: Mapping[str, Sequence[Place]]) -> dict[str, dict[str, Place]]:
    """Systems and references with one kind of id: file names where they are unique everywhere, else paths.

    Args:
        places: Of each system, by its name.

    Raises:
        ConfigError: When an id stands for two files of one system.
    """
    by_stem = {name: {item.stem: item for item in found} for name, found in places.items()}
    if all(len(by_stem[name]) == len(found) for name, found in places.items()):
        return by_stem
    by_path = {name: {item.path: item for item in found} for name, found in places.items()}
    for name, found in places.items():
        if len(by_path[name]) < len(found):
            ids = [item.path for item in found]
            twice = next(path for path in ids if ids.count(path) > 1)
            raise ConfigError(f"{name} has two files with the id {twice!r}: an id stands for one sound")
    return by_path


def look_at(places: Sequence[Place]) -> list[LookedAt]:
    """Read every file once, in the order given; the sound of a video is looked at when it is heard."""
    with ScopedThreads(_THREADS) as threads:
        return list(threads.map(_look, places))


def _look(place: Place) -> LookedAt:
    found = LookedAt(place)
    if place.source is not None:
        return found
    try:
        with storage.local_copy(place.uri) as path:
            found = replace(found, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
            pcm = read_pcm(path)
    except (OSError, MediaError) as error:
        return replace(found, error=" ".join(str(error).split()) or type(error).__name__)
    found = replace(found, sample_rate=pcm.sample_rate, length_s=pcm.length_s)
    if not pcm.samples_TC.size:
        return replace(found, error="it has no samples")
    if not np.isfinite(pcm.samples_TC).all():
        return replace(found, error="it has samples that are NaN or infinite")
    return replace(found, silent=all(is_silent(channel_T) for channel_T in pcm.samples_TC.T))


def _of_soundtracks(place: str) -> list[Place]:
    inputs.read_manifest(place, allow_unfinished=False)
    index, found = inputs.read_index(place, None), []
    conditions = arrays.read_vector_lists(index["conditions"])
    table = index.select(["audio_path", "source_name", "label", "caption", "prompt", "seed"])
    for row, of_row in zip(table.to_pylist(), conditions, strict=True):
        # The sound of several segments was made from several.
        condition = of_row[0].astype(np.float32) if of_row is not None and len(of_row) == 1 else None
        name = str(PurePosixPath(row["source_name"]).with_suffix(""))
        uri = storage.join(place, row["audio_path"])
        about = (row["label"], row["caption"], condition, row["prompt"], row["seed"])
        found.append(Place(name, uri, None, *about))
    return found


def _of_folder(place: str, videos: bool) -> list[Place]:
    fs, root = storage.filesystem(place)
    fs.invalidate_cache()
    paths = sorted(storage.attempt(place, lambda: fs.find(root)))
    root = root.rstrip("/")
    names = [path.removeprefix(root).lstrip("/") for path in paths]
    sounds = [name for name in names if Path(name).suffix.lower() in SOUND_SUFFIXES]
    if sounds or not videos:
        return [Place(str(PurePosixPath(name).with_suffix("")), storage.join(place, name)) for name in sounds]
    if not any(Path(name).suffix.lower() in VIDEO_SUFFIXES for name in names):
        return []
    sources = list_sources([place], CatalogSettings()).sources
    return [_of_source(source) for source in sources if source.kind == "video"]


def _of_index(place: str) -> list[Place]:
    content = storage.read_bytes(place)
    if place.endswith(".parquet"):
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    elif place.endswith(".jsonl"):
        rows = [json.loads(line) for line in content.decode().splitlines() if line.strip()]
    else:
        rows = list(csv.DictReader(io.StringIO(content.decode())))
    folder = place.rpartition("/")[0]
    found = []
    for number, row in enumerate(rows, start=1):
        if not row.get("id") or not row.get("path"):
            filled = sorted(name for name in row if row[name])
            raise ConfigError(f"{place}, row {number}: an index of sounds needs id and path, this row has {filled}")
        path = str(row["path"])
        uri = path if "://" in path or path.startswith("/") else storage.join(folder, path)
        label, caption, prompt = (row.get(name) or None for name in ("label", "caption", "prompt"))
        seed = str(row.get("seed") or "")
        if seed and not seed.lstrip("-").isdecimal():
            raise ConfigError(f"{place}, row {number}: a seed is a whole number, not {seed!r}")
        named = Place(str(row["id"]), uri, None, label, caption, None, prompt, int(seed) if seed else None)
        if Path(path).suffix.lower() in VIDEO_SUFFIXES:
            (source,) = list_sources([uri], CatalogSettings()).sources
            named = replace(named, source=source)
        found.append(named)
    return found


def _of_source(source: Source) -> Place:
    name = str(PurePosixPath(source.name).with_suffix(""))
    return Place(name, source.uri, source, source.label, source.caption)
