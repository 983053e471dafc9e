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
from v2a_core.compute.ids import Ids, IdTable, Positions, pack
from v2a_core.config import ConfigError
from v2a_core.media.config import FrameSettings, SegmentSettings
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import each_part
from v2a_core.outputs.versions import merge, of_part
from v2a_core.protocols import JSON
from v2a_core.tables.latest import COLUMNS
from v2a_core.tables.rows import TRANSIT, catalog_fields, unpack_source
from v2a_core.tables.schema import ROWS_FOLDER, embeddings_schema

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


def check(embeddings: str, vision_space: str, segments: SegmentSettings, frames: FrameSettings) -> None:
    """Refuse embeddings that this run would not have made itself.

    What a run does not look at may be there: denser frames, where it predicts no curves.

    Raises:
        ConfigError: For no output of `v2a embed`, or one of another vision space or sampling; names both sides.
    """
    made_by = manifest.read(embeddings, job="embed")
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
            f"the embeddings {embeddings} were made differently; give this run the same models and settings, or leave "
            "--embeddings out:\n" + "\n".join(differences)
        )


def find(embeddings: str, wanted: Ids) -> dict[str, Positions]:
    """Where the rows of the wanted sources are, as far as they can be used; reads ids only.

    Args:
        embeddings: Folder or URI.
        wanted: Source ids.

    Returns:
        For each part that holds rows of them, which of them these are, rising.
    """
    places, found, parts, rests = IdTable(wanted), {}, [], []
    columns = [*COLUMNS, "status", "segment_id", "segment_index", "segment_count"]
    for uri, table in each_part(storage.join(embeddings, ROWS_FOLDER), columns):
        at = places.find(pack(table["source_id"]))
        if (at >= 0).any():
            versions, rest = of_part(table.filter(pa.array(at >= 0)), segmented=True)
            found[uri] = np.sort(places.find(versions.ids))
            parts.append(versions)
            rests.append(rest)
    if not found:
        return {}
    versions, _ = merge(parts, rests)
    usable = np.zeros(len(wanted), bool)
    usable[places.find(versions.ids)] = versions.complete & (versions.good > 0)
    return {uri: at[usable[at]] for uri, at in found.items() if usable[at].any()}


def read(part: str, sources: Mapping[str, str], vision_dim: int, denser: Denser = _NOTHING) -> Iterator[pa.Table]:
    """Rows of `seen_schema` of some sources of a part, a few at a time.

    Args:
        part: URI of a Parquet file.
        sources: For each wanted source id, its `Source`, packed (`rows.pack_source`).
        vision_dim: Numbers in a frame's embedding.
        denser: What is read of the denser frames.
    """
    wanted = pa.array(list(sources), pa.string())
    left_out = {"clap_embedding", "timing_level", "timing_onsets_s", *(() if denser.frames else ("timing_frames",))}
    columns = [name for name in embeddings_schema(vision_dim, denser.motion).names if name not in left_out]
    with storage.open_read(part) as file:
        for batch in pq.ParquetFile(file).iter_batches(_ROWS_AT_ONCE, columns=columns):
            table = pa.Table.from_batches([batch])
            table = table.filter(pc.is_in(table["source_id"], value_set=wanted))
            if table.num_rows:
                yield _travelling(table, sources, seen_schema(vision_dim, denser.frames))


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
