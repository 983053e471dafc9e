"""What `v2a embed` has seen already: its rows instead of decoding and CLIP.

A source is taken from there when its content, span and sampling are the same (they are in its id), all its segments
have a row and at least one of them is good. Everything else is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.compute.ids import Flags, Ids, IdTable, Positions, pack
from v2a_core.config import ConfigError
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.outputs import manifest
from v2a_core.outputs.joining import NOWHERE, Beside, columns_beside, read_ids, with_columns
from v2a_core.outputs.ledger import each_part
from v2a_core.outputs.manifest import Manifest
from v2a_core.outputs.sidecar import Sidecar, open_sidecar
from v2a_core.outputs.versions import merge, of_part
from v2a_core.protocols import JSON
from v2a_core.tables.beside import REJECTION
from v2a_core.tables.latest import COLUMNS
from v2a_core.tables.rows import TRANSIT, catalog_fields, replace, unpack_source
from v2a_core.tables.schema import REJECTED, ROWS_FOLDER, embeddings_schema

_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Denser:
    """What is read of the denser frames; nothing by default.

    Attributes:
        motion: When they are shown, and how much moves.
        frames: Their embeddings.
    """

    motion: bool = False
    frames: bool = False


_NOTHING = Denser()


def seen_schema(vision_dim: int, timing: bool = False) -> pa.Schema:
    """As the rows are when their frames are embedded, in `vision_dim` numbers each; with `timing`, the denser too."""
    schema = embeddings_schema(vision_dim, timing)
    seen = [name for name in ("vision_frames", "timing_frames") if name in schema.names]
    dropped = ("frames", "timing_pixels") if timing else ("frames",)
    fields = [field for field in TRANSIT if field.name not in dropped]
    return pa.schema([schema.field(field.name) if field.name in seen else field for field in fields])


@dataclass(frozen=True)
class Seen:
    """What has been seen, as a run names it.

    Attributes:
        embeddings: Folder or URI that `v2a embed` wrote.
        beside: Folder or URI that `v2a embed --beside` wrote for them; None: nothing is read of any.
    """

    embeddings: str
    beside: str | None = None

    def __str__(self) -> str:
        return f"{self.embeddings} with {self.beside}" if self.beside else self.embeddings

    def open(self) -> tuple[Manifest, Sidecar | None]:
        """The manifest, as it would be of one table of both; and what lies beside.

        Raises:
            ConfigError: For no output of `v2a embed`, or a sidecar of another one.
        """
        made_by = manifest.read(self.embeddings, job="embed")
        if self.beside is None:
            return made_by, None
        # What is not there yet is made by the run itself.
        sidecar = open_sidecar(self.beside, self.embeddings, made_by, allow_unfinished=True)
        return sidecar.joined(made_by), sidecar


@dataclass(frozen=True)
class Wanted:
    """What is read of a part.

    Attributes:
        sources: Which of the wanted sources, rising.
        numbers: Of each of their rows in the part, in its order, the number of its row beside it; None: nothing lies
            there.
    """

    sources: Positions
    numbers: Positions | None = None


@dataclass(frozen=True)
class Reusable:
    """What of the wanted sources has been seen.

    Attributes:
        parts: What is read of each part, by its URI.
        beside: What lies beside them; None: nothing.
        unmatched: Wanted sources that the embeddings have, and what lies beside has not.
    """

    parts: Mapping[str, Wanted]
    beside: Beside | None = None
    unmatched: int = 0


def check(seen: Seen, vision_space: str, segments: SegmentSettings, frames: FrameSettings) -> None:
    """Refuse embeddings that this run would not have made itself.

    What a run does not look at may be there: denser frames, where it predicts no curves.

    Raises:
        ConfigError: For no output of `v2a embed`, or one of another vision space or sampling; names both sides.
    """
    made_by, _ = seen.open()
    theirs: dict[str, JSON] = {"vision space": (made_by.get("spaces") or {}).get("vision")}
    ours: dict[str, JSON] = {"vision space": vision_space}
    for group, settings in (("segments", segments), ("frames", frames)):
        theirs |= {f"{group}.{key}": value for key, value in manifest.group(made_by["identity"], group).items()}
        ours |= {f"{group}.{key}": value for key, value in settings.model_dump().items()}
    if not frames.timing_fps:
        theirs.pop("frames.timing_fps", None)
    differences = [
        f"  {key}: the embeddings have {theirs.get(key)!r}, this run {ours.get(key)!r}"
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]
    if differences:
        raise ConfigError(
            f"the embeddings {seen} were made differently; give this run the same models and settings, or leave "
            "--embeddings out:\n" + "\n".join(differences)
        )


def find(seen: Seen, wanted: Ids) -> Reusable:
    """Where the rows of the wanted sources are, as far as they can be used; reads ids only.

    Args:
        seen: Embeddings, and what lies beside them.
        wanted: Source ids.
    """
    _, sidecar = seen.open()
    places = IdTable(wanted)
    found = _places_of(seen.embeddings, places)
    if sidecar is None:
        parts = {uri: Wanted(rows.sources[found.usable[rows.sources]]) for uri, rows in found.parts.items()}
        return Reusable({uri: part for uri, part in parts.items() if len(part.sources)})
    beside = read_ids(sidecar)
    numbers = {uri: beside.numbers(rows.segments) for uri, rows in found.parts.items()}
    usable = found.usable & _places_of(sidecar.uri, places).usable
    for uri, rows in found.parts.items():
        usable[rows.at[numbers[uri] == NOWHERE]] = False
    parts = {
        uri: Wanted(rows.sources[usable[rows.sources]], numbers[uri][usable[rows.at]])
        for uri, rows in found.parts.items()
        if usable[rows.sources].any()
    }
    return Reusable(parts, beside.beside, int(np.count_nonzero(found.usable & ~usable)))


@dataclass(frozen=True)
class _Rows:
    """The rows of some sources in a part.

    Attributes:
        sources: Which sources, rising.
        at: The source of each row.
        segments: Its segment.
    """

    sources: Positions
    at: Positions
    segments: pa.ChunkedArray


@dataclass(frozen=True)
class _Places:
    """Where the rows of some sources lie in an output.

    Attributes:
        usable: Which of the sources have all of their rows, and a good one, bool (sources,).
        parts: Their rows in each part.
    """

    usable: Flags
    parts: dict[str, _Rows]


def _places_of(output: str, places: IdTable) -> _Places:
    found, parts, rests = {}, [], []
    columns = [*COLUMNS, "status", "segment_id", "segment_index", "segment_count"]
    for uri, table in each_part(storage.join(output, ROWS_FOLDER), columns):
        at = places.find(pack(table["source_id"]))
        if (at >= 0).any():
            table = table.filter(pa.array(at >= 0))
            versions, rest = of_part(table, segmented=True)
            found[uri] = _Rows(np.sort(places.find(versions.ids)), at[at >= 0], table["segment_id"])
            parts.append(versions)
            rests.append(rest)
    usable = np.zeros(len(places), bool)
    if found:
        versions, _ = merge(parts, rests)
        usable[places.find(versions.ids)] = versions.complete & (versions.good > 0)
    return _Places(usable, found)


def read(
    part: str,
    sources: Mapping[str, str],
    vision_dim: int,
    denser: Denser = _NOTHING,
    beside: tuple[Beside, Positions] | None = None,
) -> Iterator[pa.Table]:
    """Rows of `seen_schema` of some sources of a part, a few at a time.

    Args:
        part: URI of a Parquet file.
        sources: For each wanted source id, its `Source`, packed (`rows.pack_source`).
        vision_dim: Numbers in a frame's embedding.
        denser: What is read of the denser frames.
        beside: What lies beside, and of each row of these sources, in the order of the part, the number of its row
            there.
    """
    wanted = pa.array(list(sources), pa.string())
    left_out = {"clap_embedding", "timing_level", "timing_onsets_s", *(() if denser.frames else ("timing_frames",))}
    columns = [name for name in embeddings_schema(vision_dim, denser.motion).names if name not in left_out]
    with (
        storage.open_read(part) as file,
        columns_beside(beside and beside[0], columns, also=REJECTION) as (own, reader),
    ):
        start = 0
        for batch in pq.ParquetFile(file).iter_batches(_ROWS_AT_ONCE, columns=own):
            table = pa.Table.from_batches([batch])
            table = table.filter(pc.is_in(table["source_id"], value_set=wanted))
            if table.num_rows:
                if reader is not None and beside is not None:
                    numbers = beside[1][start : start + table.num_rows]
                    table = _joined(table, reader.take(numbers))
                    start += table.num_rows
                yield _travelling(table, sources, seen_schema(vision_dim, denser.frames))


def _joined(table: pa.Table, beside: pa.Table) -> pa.Table:
    """Rows with what lies beside them; what was rejected there is rejected."""
    rejected = pc.equal(beside["status"], REJECTED)
    columns = {name: pc.if_else(rejected, beside[name], table[name]) for name in REJECTION}
    return with_columns(replace(table, columns), beside.drop_columns(list(REJECTION)))


def _travelling(table: pa.Table, sources: Mapping[str, str], schema: pa.Schema) -> pa.Table:
    """With the source, and what this run's catalog says of it: names and captions may be others than back then."""
    ids = table["source_id"].to_pylist()
    packed = [sources[identity] for identity in ids]
    fields: list[Mapping[str, object]] = [
        catalog_fields(unpack_source(text), identity) for text, identity in zip(packed, ids, strict=True)
    ]
    ours = {name: [row[name] for row in fields] for name in fields[0]} | {"source": packed}
    columns = []
    for field in schema:
        if field.name in ours:
            columns.append(pa.chunked_array([pa.array(ours[field.name], field.type)]))
        elif field.name in table.schema.names:
            columns.append(table[field.name].cast(field.type))
        else:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
    return pa.Table.from_arrays(columns, schema=schema)
