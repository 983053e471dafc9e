"""One part by itself: its bytes, its schema, what it belongs to, its rows. Runs in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.metrics.extractors.schema import evaluated_schema
from v2a_core.outputs.parts import bytes_checksum, checksum_in_name
from v2a_core.outputs.sidecar import JOB as BESIDE
from v2a_core.tables import arrays
from v2a_core.tables.beside import FRAMES, GROUPS, HEARD, TIMED, beside_schema, groups_of
from v2a_core.tables.features import feature_schema
from v2a_core.tables.lessons import latent_numbers_of, lessons_schema
from v2a_core.tables.schema import INDEX, OK, REJECTED, SCHEMA_VERSION, embeddings_schema, vision_dim_of

Mask: TypeAlias = npt.NDArray[np.bool_]
Vectors: TypeAlias = npt.NDArray[np.float16 | np.float32]  # (vectors, D)

_NORM_TOLERANCE = 5e-3  # float16 keeps three digits
# What the checks of a whole output need of a part.
KEPT = (
    *("source_id", "source_key", "recorded_at", "source_uri", "status", "reject_stage", "reject_type"),
    *("segment_id", "segment_index", "segment_count"),
    *("audio_path", "audio_sha256", "video_path", "video_sha256", "loser_paths"),
)


@dataclass(frozen=True)
class Finding:
    """Rows of a part that share a fault.

    Attributes:
        what: The fault.
        rows: Their positions.
        ids: Their ids.
    """

    what: str
    rows: tuple[int, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True)
class PartFound:
    """What is in a part.

    Attributes:
        name: Of the file.
        unusable: Why nothing in it can be used; empty for a part that can be read.
        findings: Faulty rows.
        table: The columns `KEPT`, as far as the part has them.
    """

    name: str
    unusable: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    table: pa.Table | None = None


def check_part(uri: str, job: str, identity: str) -> PartFound:
    """Check a part.

    Args:
        uri: The file.
        job: `embed`, `embed --beside`, `generate`, `evaluate`, `listen`, `extract` or `hear`.
        identity: Digest of what it must belong to (`manifest.identity_digest`).
    """
    name = uri.rsplit("/", 1)[-1]
    content = storage.read_bytes(uri)
    expected = checksum_in_name(uri)
    if expected is not None and bytes_checksum(content) != expected:
        return PartFound(name, (f"its {len(content)} bytes are not those that were written (checksum)",))
    try:
        table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
        table.validate(full=True)
        wrong = foreign(table.schema.metadata, identity) + _schema_problems(table.schema, _schema(job, table.schema))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        return PartFound(name, (f"not readable as Parquet: {_first_line(error)}",))
    if wrong:
        return PartFound(name, tuple(wrong))
    kept = table.select([column for column in KEPT if column in table.schema.names])
    return PartFound(name, (), tuple(_CHECKS[job](table)), kept)


def foreign(metadata: Mapping[bytes, bytes] | None, identity: str) -> list[str]:
    """Why a part with this metadata does not belong to the output of this identity."""
    found = (metadata or {}).get(b"v2a.identity", b"").decode()
    if found == identity:
        return []
    version = (metadata or {}).get(b"v2a.schema_version", b"").decode()
    if version not in ("", str(SCHEMA_VERSION)):
        return [f"it is of schema version {version}, this program knows {SCHEMA_VERSION}"]
    return [f"it belongs to another output (identity {found or 'none'}, that of the manifest is {identity})"]


def _schema(job: str, found: pa.Schema) -> pa.Schema:
    # An encoder decides how wide its embeddings are.
    if job in ("evaluate", "listen"):
        return evaluated_schema()
    if job == "extract":  # which network it is of says the manifest; what all of them have is checked
        return feature_schema(())
    if job == BESIDE:  # what it adds says its manifest, and which columns are there
        return beside_schema(groups_of(found), vision_dim_of(found))
    if job == "hear":
        return lessons_schema(latent_numbers_of(found))
    return INDEX if job == "generate" else embeddings_schema(vision_dim_of(found))


def _schema_problems(found: pa.Schema, wanted: pa.Schema) -> list[str]:
    problems = []
    for column in wanted:
        if column.name not in found.names:
            problems.append(f"schema: column {column.name} is missing")
        elif found.field(column.name).type != column.type:
            problems.append(f"schema: column {column.name} is {found.field(column.name).type}, not {column.type}")
    return problems


def _check_embeddings(table: pa.Table) -> list[Finding]:
    ok = _mask(pc.equal(table["status"], OK))
    frames = list(arrays.read_vector_lists(table["vision_frames"]))
    counts = np.array([-1 if item is None else len(item) for item in frames], int)
    times = pc.fill_null(pc.list_value_length(table["frame_times_s"]), -1).to_numpy()
    return [
        *_check_status(table),
        *_findings(table, "ok, but without frames", ok & (counts <= 0)),
        *_check_vectors(table, "vision_frames", frames),
        *_check_sounds(table),
        *_check_timing(table),
        *_findings(table, "as many frame times as frames are needed", ok & (counts > 0) & (counts != times)),
    ]


def _check_beside(table: pa.Table) -> list[Finding]:
    """What a sidecar has; nothing of a sound but its level."""
    ok, groups = _mask(pc.equal(table["status"], OK)), groups_of(table.schema)
    found = _check_status(table)
    if not groups:
        return [*found, *_findings(table, "nothing is added", ok)]
    for group in set(groups) & {FRAMES, TIMED}:
        times, *others = GROUPS[group]
        frames = list(arrays.read_vector_lists(table[others[-1]]))
        counts = np.array([-1 if item is None else len(item) for item in frames], int)
        found += _check_vectors(table, others[-1], frames)
        needed = ok if group == FRAMES else ok & _mask(pc.is_valid(table[times]))
        found += _findings(table, f"ok, but without {others[-1]}", needed & (counts <= 0))
        for name in (times, *others[:-1]):
            lengths = pc.fill_null(pc.list_value_length(table[name]), -1).to_numpy()
            found += _findings(table, f"as many {name} as {others[-1]} are needed", (counts >= 0) & (counts != lengths))
            found += _check_finite(table, name, arrays.read_vectors(table[name]))
    for name in GROUPS[HEARD] if HEARD in groups else ():
        found += _check_finite(table, name, arrays.read_vectors(table[name]))
    return found


def _check_timing(table: pa.Table) -> list[Finding]:
    """The denser frames, of embeddings that have them."""
    if "timing_frames" not in table.column_names:
        return []
    frames = list(arrays.read_vector_lists(table["timing_frames"]))
    counts = np.array([-1 if item is None else len(item) for item in frames], int)
    found = _check_vectors(table, "timing_frames", frames)
    for name in ("timing_times_s", "timing_motion"):
        lengths = pc.fill_null(pc.list_value_length(table[name]), -1).to_numpy()
        found += _findings(table, f"as many {name} as timing_frames are needed", (counts >= 0) & (counts != lengths))
        found += _check_finite(table, name, arrays.read_vectors(table[name]))
    if "timing_level" not in table.column_names:  # of embeddings from before anything was heard over time
        return found
    for name in ("timing_level", "timing_onsets_s"):
        found += _check_finite(table, name, arrays.read_vectors(table[name]))
    ok = _mask(pc.equal(table["status"], OK))
    mute = _mask(pc.is_valid(table["clap_embedding"])) & _mask(pc.is_null(table["timing_level"]))
    return [*found, *_findings(table, "a sound without its level", ok & mute)]


def _check_index(table: pa.Table) -> list[Finding]:
    ok = _mask(pc.equal(table["status"], OK))
    nameless = [
        _mask(pc.and_(pc.is_valid(table[f"{side}_path"]), pc.is_null(table[f"{side}_sha256"])))
        for side in ("audio", "video")
    ]
    return [
        *_check_status(table),
        *_findings(table, "ok, but without a soundtrack", ok & _mask(pc.is_null(table["audio_path"]))),
        *_findings(table, "a file without its checksum", nameless[0] | nameless[1]),
        *_check_finite(table, "conditions", list(arrays.read_vector_lists(table["conditions"]))),
        *(
            _check_finite(table, "curve", list(arrays.read_vector_lists(table["curve"])))
            if "curve" in table.column_names
            else ()
        ),
    ]


def _check_evaluated(table: pa.Table) -> list[Finding]:
    ok = _mask(pc.equal(table["status"], OK))
    return [
        *_check_status(table),
        *_findings(table, "ok, but without the id of its sound", ok & _mask(pc.is_null(table["sound_id"]))),
    ]


def _check_features(table: pa.Table) -> list[Finding]:
    ok = _mask(pc.equal(table["status"], OK))
    findings = _check_status(table)
    if "embedding" in table.column_names:  # what is found out about motion is none
        findings += _findings(table, "ok, but without an embedding", ok & _mask(pc.is_null(table["embedding"])))
    for field in table.schema:
        if pa.types.is_list(field.type) and pa.types.is_floating(field.type.value_type):
            findings += _check_finite(table, field.name, arrays.read_vectors(table[field.name]))
    return findings


def _check_lessons(table: pa.Table) -> list[Finding]:
    heard = _mask(pc.is_valid(table["clap_embedding"]))
    findings = [*_check_status(table), *_check_sounds(table)]
    for name in ("latents", "curve"):
        lacks = heard & _mask(pc.is_null(table[name]))
        findings += _findings(table, f"heard, but without its {name}", lacks)
        findings += _check_finite(table, name, list(arrays.read_vector_lists(table[name])))
    return findings


_CHECKS: dict[str, Callable[[pa.Table], list[Finding]]] = {
    "embed": _check_embeddings,
    BESIDE: _check_beside,
    "generate": _check_index,
    "evaluate": _check_evaluated,
    "listen": _check_evaluated,
    "extract": _check_features,
    "hear": _check_lessons,
}


def _check_status(table: pa.Table) -> list[Finding]:
    known = pc.is_in(table["status"], value_set=pa.array([OK, REJECTED]))
    nameless = pc.and_(pc.equal(table["status"], REJECTED), pc.is_null(table["reject_type"]))
    return [
        *_findings(table, "status is neither ok nor rejected", ~_mask(known)),
        *_findings(table, "rejected without a reason", _mask(nameless)),
    ]


def _check_sounds(table: pa.Table) -> list[Finding]:
    sounds = arrays.read_vectors(table["clap_embedding"])
    return _check_vectors(table, "clap_embedding", [None if item is None else item[None] for item in sounds])


def _check_finite(table: pa.Table, column: str, values: Sequence[Vectors | None]) -> list[Finding]:
    infinite = [_has(item) and not np.isfinite(item).all() for item in values]
    return _findings(table, f"{column} is not finite", np.array(infinite, bool))


def _check_vectors(table: pa.Table, column: str, values: Sequence[Vectors | None]) -> list[Finding]:
    off = [_has(item) and bool(np.isfinite(item).all()) and _norm_is_off(item) for item in values]
    return [
        *_check_finite(table, column, values),
        *_findings(table, f"{column} is not of norm 1", np.array(off, bool)),
    ]


def _findings(table: pa.Table, what: str, bad: Mask) -> list[Finding]:
    if not bad.any():
        return []
    rows = np.flatnonzero(bad)
    ids = table["segment_id" if "segment_id" in table.schema.names else "source_id"].take(pa.array(rows)).to_pylist()
    return [Finding(what, tuple(map(int, rows)), tuple(map(str, ids)))]


def _mask(values: pa.ChunkedArray) -> Mask:
    mask: Mask = pc.fill_null(values, False).to_numpy()
    return mask


def _has(item: Vectors | None) -> TypeGuard[Vectors]:
    return item is not None and len(item) > 0


def _norm_is_off(item: Vectors) -> bool:
    norms = np.linalg.norm(np.asarray(item, np.float32), axis=1)
    return bool((np.abs(norms - 1) > _NORM_TOLERANCE).any())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
