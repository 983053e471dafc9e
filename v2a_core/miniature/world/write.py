"""The small world as files: videos with sound, tar shards, tables and stills, through the project's own media code."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from v2a_core import storage
from v2a_core.compute.processes import process_pool
from v2a_core.media.encode import write_video
from v2a_core.miniature.world.config import WorldSettings, WriteSettings
from v2a_core.miniature.world.happenings import KINDS
from v2a_core.miniature.world.render import iterate_frames, render_sound, render_still
from v2a_core.miniature.world.scenes import SPLITS, Scene, Split, sample

_DEMO_CLIPS = 3 * len(KINDS) // 2
_DEMO_LESSONS: dict[Split, int] = {"train": 7 * len(KINDS), "validation": len(KINDS)}
_SCENES_PER_PROCESS = 12  # the least that a process of its own is started for
_SCENES_AT_ONCE = 64
_COLUMNS = ("uri", "label", "split", "caption")


@dataclass(frozen=True)
class WrittenWorld:
    """What was written.

    Attributes:
        inputs: What to give a job as its catalog: the table, and the folder of shards.
        videos: Videos, loose and in shards.
        stills: Still images.
    """

    inputs: list[str]
    videos: int
    stills: int


@dataclass(frozen=True)
class DemoCatalog:
    """What the demo works on, as what to give a job.

    Attributes:
        shown: Gets soundtracks: of the test split.
        lessons: Clips that only teach the mapper.
    """

    shown: list[str]
    lessons: list[str]


def split_counts(count: int) -> dict[Split, int]:
    """`count` scenes as 80 % training, 10 % validation, 10 % test."""
    held_out = count // 10
    return {"train": count - 2 * held_out, "validation": held_out, "test": held_out}


def write_world(
    output: str,
    counts: Mapping[Split, int],
    settings: WorldSettings | None = None,
    layout: WriteSettings | None = None,
) -> WrittenWorld:
    """Write scenes as a catalog; writing it again with the same settings gives the same files.

    `videos/<label>/<name>.mp4` and `stills/<label>/<name>.png` are loose, with a table `catalog.csv` or
    `catalog.parquet` of uri (relative to it), label, split and caption; `shards/world-<number>.tar` hold
    `<name>.mp4` and `<name>.json`.

    Args:
        output: A folder or URI.
        counts: How many scenes of each split.
        settings: The world, and how it is rendered.
        layout: How it is laid out.
    """
    settings, layout = settings or WorldSettings(), layout or WriteSettings()
    scenes = [sample(settings, split, index) for split in SPLITS for index in range(counts.get(split, 0))]
    in_shards = round(len(scenes) * (1 - layout.loose_share)) if layout.shards else 0
    order = np.random.default_rng(settings.seed).permutation(len(scenes))
    sharded = [scenes[position] for position in np.sort(order[:in_shards])]
    loose = [scenes[position] for position in np.sort(order[in_shards:])]
    with _renderers(len(scenes)) as pool:
        table = [_write_loose(output, scene, video) for scene, video in _videos(loose, settings, pool)]
        for number in range(min(layout.shards, len(sharded))):
            uri = storage.join(output, "shards", f"world-{number:06d}.tar")
            _write_shard(uri, _videos(sharded[number :: layout.shards], settings, pool))
    # Stills are of scenes that no video shows: the indices go on where those of the test split end.
    first = counts.get("test", 0)
    table += [_write_still(output, sample(settings, "test", first + k), settings) for k in range(layout.stills)]
    inputs = _write_table(output, table, layout.table)
    if sharded:
        inputs.append(storage.join(output, "shards"))
    return WrittenWorld(inputs, len(scenes), layout.stills)


def write_demo_catalog(
    folder: Path,
    *,
    seed: int = 0,
    size: int = 160,
    clips: int = _DEMO_CLIPS,
    lessons: Mapping[Split, int] | None = None,
) -> DemoCatalog:
    """Write the demo's catalogs: labelled clips of 5 s of every kind, and what else a real catalog has.

    Half of the clips that are shown are in two shards, a few have no sound; there are a still image and a download
    that broke off. The clips that only teach are small ones in shards.

    Args:
        folder: A local folder.
        seed: Another seed gives other scenes.
        size: Height and width of the pictures that are shown, pixels.
        clips: How many clips are shown.
        lessons: How many clips teach, by split.
    """
    few = WorldSettings(seed=seed, size=96, frames_per_second=4)
    lessons = _DEMO_LESSONS if lessons is None else lessons
    taught = write_world(str(folder / "lessons"), lessons, few, WriteSettings(shards=4, table="none"))
    return DemoCatalog(_write_shown(folder / "catalog", seed, size, clips), taught.inputs)


def _write_shown(folder: Path, seed: int, size: int, clips: int) -> list[str]:
    settings = WorldSettings(seed=seed, size=size, frames_per_second=10, noise_share=0.0, silent_share=0.12)
    layout = WriteSettings(shards=2, loose_share=0.5, stills=1)
    written = write_world(str(folder), {"test": clips}, settings, layout)
    table = folder / "catalog.csv"
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    whole = (folder / next(row["uri"] for row in rows if row["uri"].endswith(".mp4"))).read_bytes()
    # The index of an MP4 is at its end: a download that stopped early has pictures that nothing can find.
    storage.write_bytes(str(folder / "videos" / "broken-download.mp4"), whole[: len(whole) // 2])
    rows.append({"uri": "videos/broken-download.mp4", "label": "", "split": "test", "caption": ""})
    _write_table(str(folder), rows, "csv")
    return written.inputs


def _renderers(count: int) -> contextlib.AbstractContextManager[ProcessPoolExecutor | None]:
    """Processes that render `count` scenes; None where it is not worth starting them."""
    processes = min(os.cpu_count() or 1, count // _SCENES_PER_PROCESS)
    return process_pool(processes) if processes > 1 else contextlib.nullcontext()


def _videos(
    scenes: Sequence[Scene], settings: WorldSettings, pool: ProcessPoolExecutor | None
) -> Iterator[tuple[Scene, bytes]]:
    """Scenes in their order with their videos as MP4; some at a time, so that few wait in memory."""
    render = functools.partial(_video, settings=settings)
    for start in range(0, len(scenes), _SCENES_AT_ONCE):
        some = scenes[start : start + _SCENES_AT_ONCE]
        yield from zip(some, pool.map(render, some) if pool else map(render, some), strict=True)


def _write_loose(output: str, scene: Scene, video: bytes) -> dict[str, str]:
    uri = f"videos/{scene.kind}/{scene.name}.mp4"
    storage.write_bytes(storage.join(output, uri), video)
    return _row(uri, scene)


def _write_still(output: str, scene: Scene, settings: WorldSettings) -> dict[str, str]:
    uri = f"stills/{scene.kind}/{scene.name}.png"
    with storage.writing(storage.join(output, uri)) as path:
        Image.fromarray(render_still(scene, size=settings.size)).save(path, format="PNG", optimize=True)
    return _row(uri, scene)


def _row(uri: str, scene: Scene) -> dict[str, str]:
    return {"uri": uri, "label": scene.kind, "split": scene.split, "caption": scene.caption}


def _write_shard(uri: str, videos: Iterable[tuple[Scene, bytes]]) -> None:
    with storage.writing(uri) as path, tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for scene, video in videos:
            note = {"label": scene.kind, "split": scene.split, "caption": scene.caption}
            _add(tar, f"{scene.name}.mp4", video)
            _add(tar, f"{scene.name}.json", json.dumps(note).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    # A fresh TarInfo has no time and no owner: the same scenes give the same bytes.
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _video(scene: Scene, settings: WorldSettings) -> bytes:
    waveform = None
    if scene.audible:
        waveform = render_sound(scene, length_s=settings.length_s, sample_rate=settings.sample_rate)
    with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
        path = Path(folder) / "scene.mp4"
        write_video(path, _frames(scene, settings), settings.frames_per_second, waveform, settings.sample_rate)
        return path.read_bytes()


def _frames(scene: Scene, settings: WorldSettings) -> Iterator[npt.NDArray[np.uint8]]:
    return iterate_frames(
        scene, length_s=settings.length_s, size=settings.size, frames_per_second=settings.frames_per_second
    )


def _write_table(output: str, rows: list[dict[str, str]], kind: str) -> list[str]:
    """Write the table of loose files, if one is wanted; returns what names these files as a catalog."""
    if not rows:
        return []
    if kind == "none":
        return sorted({storage.join(output, row["uri"].partition("/")[0]) for row in rows})
    uri = storage.join(output, f"catalog.{kind}")
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        with storage.writing(uri) as path:
            pq.write_table(
                pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in _COLUMNS])), path
            )
        return [uri]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    storage.write_bytes(uri, text.getvalue().encode())
    return [uri]
