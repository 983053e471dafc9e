"""What mappers learn from and what gets sounds: the given catalogs, or the miniature world, as tables in the output."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from v2a_core import storage
from v2a_core.catalog import CatalogSettings, Source, list_sources
from v2a_core.miniature.world import WorldSettings, WriteSettings
from v2a_core.miniature.world.write import write_world
from workflows.reproduce.asked import Reproduce
from workflows.reproduce.config import WorldCounts
from workflows.reproduce.places import Places

_NOTE = "world.json"  # in the output: the world is whole, and what to give a job
_COLUMNS = ("uri", "label", "split", "caption")
_SHARDS = 4


@dataclass(frozen=True)
class Data:
    """Catalogs, as what to give a job.

    Attributes:
        lessons: What mappers learn from, and how it is listed.
        videos, pictures: A table of what gets sounds; None: there is nothing.
        references: An index of the videos with their ids, whose own sounds are what all systems are compared with.
        sources: The videos.
    """

    lessons: tuple[Sequence[str], CatalogSettings]
    videos: str
    pictures: str | None
    references: str
    sources: Sequence[Source]

    @property
    def shown(self) -> list[str]:
        """All that gets sounds."""
        return [self.videos, *([self.pictures] if self.pictures else [])]


def prepare(asked: Reproduce) -> Data:
    """Write the tables, and the world where no catalog was given; what an earlier run has written is kept."""
    if asked.catalog:
        lessons = (asked.catalog, asked.settings.catalog)
        videos, pictures = asked.list_test(), asked.list_pictures()
    else:
        world = _world(asked.places, asked.settings.world)
        shown = list_sources(world.shown, CatalogSettings()).sources
        lessons = (world.lessons, CatalogSettings())
        videos = [source for source in shown if source.kind == "video"]
        pictures = [source for source in shown if source.kind == "image"]
    places = asked.places
    table = _write_table(places.of("inputs", "videos.csv"), videos)
    still = _write_table(places.of("inputs", "pictures.csv"), pictures) if pictures else None
    # As jobs will name them: the table's names, of which ids are made.
    named = list_sources([table], CatalogSettings()).sources
    references = places.of("inputs", "references.csv")
    write_index(references, [(source_id(s.name), s.uri, s.label, s.caption) for s in named])
    return Data(lessons, table, still, references, named)


def source_id(name: str) -> str:
    """What stands for a source in a comparison: its name without the suffix."""
    return str(PurePosixPath(name).with_suffix(""))


def write_index(uri: str, rows: Sequence[tuple[str, str, str | None, str | None]]) -> None:
    """Write an index of sounds for a comparison.

    Args:
        uri: The table.
        rows: Id, place, label and caption of each.
    """
    _write_csv(uri, ("id", "path", "label", "caption"), [tuple(text or "" for text in row) for row in rows])


@dataclass(frozen=True)
class _World:
    """The miniature world, as what to give a job."""

    lessons: list[str]
    shown: list[str]


def _world(places: Places, counts: WorldCounts) -> _World:
    note = places.of(_NOTE)
    if not storage.exists(note):
        storage.write_json(note, asdict(_write_world(Path(places.of("world")), counts)))
    return _World(**storage.read_json(note))


def _write_world(folder: Path, counts: WorldCounts) -> _World:
    few = WorldSettings(seed=counts.seed, size=96, frames_per_second=4)
    taught = write_world(
        str(folder / "lessons"),
        {"train": counts.train, "validation": counts.validation},
        few,
        WriteSettings(shards=_SHARDS, table="none"),
    )
    seen = WorldSettings(seed=counts.seed, size=128, frames_per_second=8)
    shown = write_world(str(folder / "shown"), {"test": counts.test}, seen, WriteSettings(stills=counts.pictures))
    return _World(taught.inputs, shown.inputs)


def _write_table(uri: str, sources: Sequence[Source]) -> str:
    rows = [(source.uri, source.label or "", source.split or "test", source.caption or "") for source in sources]
    _write_csv(uri, _COLUMNS, rows)
    return uri


def _write_csv(uri: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    storage.write_bytes(uri, text.getvalue().encode())
