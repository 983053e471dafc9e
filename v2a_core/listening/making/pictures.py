"""What is seen in an item: the video or still that its sounds are for, by the id that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from v2a_core import storage
from v2a_core.catalog import CatalogSettings, Source, list_sources
from v2a_core.config import ConfigError
from v2a_core.media.guard import GuardedDecoder
from v2a_core.media.silent_clip import ClipRequest, make_clip
from v2a_core.media.types import MediaError
from v2a_core.metrics import inputs
from v2a_core.metrics.systems.places import Place
from v2a_core.outputs import manifest
from v2a_core.tables import rows


@dataclass(frozen=True)
class Picture:
    """A video or still.

    Attributes:
        place: Its id.
        sources: Where it is; the first that can be read is taken.
    """

    place: Place
    sources: tuple[Source, ...]


def list_pictures(videos: str | None, systems: Mapping[str, str]) -> list[Picture]:
    """The videos and stills of a test.

    Args:
        videos: A folder, table, shard or prefix, as a catalog of the jobs; None: the sources of the first system that
            `v2a generate` made.
        systems: Places of the systems.

    Raises:
        ConfigError: When there is none.
    """
    if videos is not None:
        listed = list_sources([videos], CatalogSettings()).sources
        found = [Picture(_place(source), (source,)) for source in listed]
        if not found:
            raise ConfigError(f"--videos {videos} holds no video and no picture")
        return found
    for place in systems.values():
        if storage.exists(storage.join(place, manifest.FILE_NAME)):
            return _of_soundtracks(place)
    return []


def film(picture: Picture, guarded: GuardedDecoder, out_path: Path, length_s: float, longest_side: int) -> float:
    """Write what is seen as a small film without sound.

    Args:
        picture: Of an item.
        guarded: The process that makes it.
        out_path: Where to, an MP4.
        length_s: At most.
        longest_side: Pixels.

    Returns:
        Its length, seconds.

    Raises:
        MediaError: When nothing of it can be read.
    """
    problem = MediaError("fetch", "NotFound", "there is no picture")
    for source in picture.sources:
        try:
            with source.fetch() as path:
                span_s = min(length_s, source.duration_s or length_s)
                request = ClipRequest(
                    path.absolute(), source.kind, out_path.absolute(), source.start_s or 0.0, span_s, longest_side
                )
                return make_clip(guarded, request)
        except MediaError as error:
            problem = error
    raise problem


def _of_soundtracks(place: str) -> list[Picture]:
    """The sources of soundtracks; of a video that is gone, the copy with the soundtrack has the same picture."""
    index = inputs.with_sources(inputs.read_index(place, None), originals=True)
    found = []
    for row in index.select(["source", "video_path"]).to_pylist():
        source = rows.unpack_source(row["source"])
        sources = [source]
        if row["video_path"]:
            uri = storage.join(place, row["video_path"])
            sources.append(Source(uri, source.name, "video", start_s=source.start_s, duration_s=source.duration_s))
        found.append(Picture(_place(source), tuple(sources)))
    return found


def _place(source: Source) -> Place:
    name = str(PurePosixPath(source.name).with_suffix(""))
    return replace(Place(name, source.uri, source), label=source.label, caption=source.caption)
