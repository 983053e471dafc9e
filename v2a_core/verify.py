"""Is an output what its manifest says, whole and undamaged? Everything that is wrong, in a list.

Problems make an output unfit; notes are worth knowing. Parts are read one by one: memory does not grow with the output.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import arrays, manifest, storage
from v2a_core.config import ConfigError
from v2a_core.ledger import part_files
from v2a_core.parts import bytes_checksum, checksum_in_name
from v2a_core.schema import (
    INDEX,
    INDEX_FOLDER,
    OK,
    REJECTED,
    ROWS_FOLDER,
    SCHEMA_VERSION,
    embeddings_schema,
    vision_dim_of,
)

_NORM_TOLERANCE = 5e-3  # float16 keeps three digits
_EXAMPLES = 3
_IDS = ["source_id", "source_uri", "start_s", "segment_id", "segment_index", "segment_count"]


@dataclass
class Report:
    """What was found.

    Attributes:
        output: Folder or URI.
        job: `embed` or `generate`.
        parts: Rows of each file; None for one that cannot be read.
        problems: What is wrong.
        notes: What is worth knowing: sources in several versions, rejects.
    """

    output: str
    job: str
    parts: dict[str, int | None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows that were read."""
        return sum(rows or 0 for rows in self.parts.values())

    def lines(self) -> Iterator[str]:
        """The report for a person."""
        yield from (f"problem: {problem}" for problem in self.problems)
        yield from (f"note: {note}" for note in self.notes)
        what = f"{len(self.problems)} problems" if self.problems else "nothing wrong"
        yield f"verify: {self.rows} rows in {len(self.parts)} parts, {what} -> {self.output}"


def verify(output: str) -> Report:
    """Check an output of `v2a embed` or `v2a generate`.

    Raises:
        ConfigError: When there is no manifest, or one of a job that has nothing to verify.
    """
    try:
        made_by = storage.read_json(storage.join(output, manifest.FILE_NAME))
    except FileNotFoundError:
        raise ConfigError(f"{output} has no {manifest.FILE_NAME}: it is not an output of `v2a`") from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    job = made_by.get("job")
    if job not in ("embed", "generate"):
        raise ConfigError(f"{output} is an output of `v2a {job}`; embeddings and soundtracks can be verified")
    report = Report(output, job)
    tables = list(_read_parts(report, storage.join(output, ROWS_FOLDER if job == "embed" else INDEX_FOLDER)))
    if tables:
        rows = pa.concat_tables(tables)
        _check_ids(report, rows, "segment_id" if job == "embed" else "source_id")
        if job == "embed":
            _check_completeness(report, rows)
        _note_versions(report, rows)
    _check_manifest(report, made_by)
    return report


def _read_parts(report: Report, folder: str) -> Iterator[pa.Table]:
    """Check each part on its own; gives on its ids."""
    schema = INDEX if report.job == "generate" else None
    for uri in part_files(folder):
        name = uri.rsplit("/", 1)[-1]
        report.parts[name] = None
        content = storage.read_bytes(uri)
        expected = checksum_in_name(uri)
        if expected is not None and bytes_checksum(content) != expected:
            report.problems.append(f"{name}: its bytes are not those that were written (checksum)")
        try:
            table = pq.read_table(pa.BufferReader(content))
        except (pa.ArrowException, OSError) as error:
            report.problems.append(f"{name}: not readable as Parquet: {str(error).splitlines()[0]}")
            continue
        report.parts[name] = table.num_rows
        # An encoder decides how wide its embeddings are; all parts are of one.
        schema = schema or embeddings_schema(vision_dim_of(table.schema))
        wrong = _schema_problems(table.schema, schema)
        if wrong:
            report.problems.append(f"{name}: schema: {'; '.join(wrong)}")
            continue
        _check_status(report, name, table)
        _check_embeddings(report, name, table) if report.job == "embed" else _check_index(report, name, table)
        yield table.select([column for column in _IDS if column in table.schema.names])


def _schema_problems(found: pa.Schema, wanted: pa.Schema) -> list[str]:
    version = (found.metadata or {}).get(b"v2a.schema_version")
    problems = []
    if version is not None and version != str(SCHEMA_VERSION).encode():
        problems.append(f"version {version.decode()}, this program knows {SCHEMA_VERSION}")
    for column in wanted:
        if column.name not in found.names:
            problems.append(f"column {column.name} is missing")
        elif found.field(column.name).type != column.type:
            problems.append(f"column {column.name} is {found.field(column.name).type}, not {column.type}")
    return problems


def _check_status(report: Report, name: str, table: pa.Table) -> None:
    known = pc.is_in(table["status"], value_set=pa.array([OK, REJECTED]))
    _problem(report, name, "status is neither ok nor rejected", table, ~_mask(known))
    nameless = pc.and_(pc.equal(table["status"], REJECTED), pc.is_null(table["reject_type"]))
    _problem(report, name, "rejected without a reason", table, _mask(nameless))
    rejected = int(pc.sum(pc.equal(table["status"], REJECTED)).as_py() or 0)
    if rejected:
        report.notes.append(f"{name}: {rejected} rejected rows")


def _check_embeddings(report: Report, name: str, table: pa.Table) -> None:
    ok = _mask(pc.equal(table["status"], OK))
    frames = arrays.read_vector_lists(table["clip_frames"])
    sounds = arrays.read_vectors(table["clap_embedding"])
    _problem(report, name, "ok, but without frames", table, ok & np.array([not _has(item) for item in frames]))
    _check_vectors(report, name, "clip_frames", table, list(frames))
    _check_vectors(report, name, "clap_embedding", table, [None if item is None else item[None] for item in sounds])
    counts = np.array([-1 if item is None else len(item) for item in frames])
    times = pc.fill_null(pc.list_value_length(table["frame_times_s"]), -1).to_numpy()
    _problem(report, name, "as many frame times as frames are needed", table, ok & (counts != times))


def _check_vectors(report: Report, name: str, column: str, table: pa.Table, values: list[Any]) -> None:
    infinite = np.array([_has(item) and not np.isfinite(item).all() for item in values], bool)
    _problem(report, name, f"{column} is not finite", table, infinite)
    off = np.array([_has(item) and not bad and _norm_is_off(item) for item, bad in zip(values, infinite, strict=True)])
    _problem(report, name, f"{column} is not of norm 1", table, off.astype(bool))


def _check_index(report: Report, name: str, table: pa.Table) -> None:
    for column in ("audio_uri", "video_uri"):
        sizes = [None if uri is None else _size(uri) for uri in table[column].to_pylist()]
        _problem(report, name, f"{column}: there is no such file", table, np.array([size == -1 for size in sizes]))
        _problem(report, name, f"{column}: the file is empty", table, np.array([size == 0 for size in sizes]))
    soundless = pc.and_(pc.equal(table["status"], OK), pc.is_null(table["audio_uri"]))
    _problem(report, name, "ok, but without a soundtrack", table, _mask(soundless))


def _check_ids(report: Report, rows: pa.Table, column: str) -> None:
    counts = rows.group_by(column).aggregate([(column, "count")])
    twice = counts.filter(pc.greater(counts[f"{column}_count"], 1))
    if twice.num_rows:
        report.problems.append(f"{twice.num_rows} values of {column} stand in several rows: {_some(twice[column])}")


def _check_completeness(report: Report, rows: pa.Table) -> None:
    segments = rows.filter(pc.greater_equal(rows["segment_index"], 0))
    counts = segments.group_by("source_id").aggregate(
        [("segment_index", "count_distinct"), ("segment_count", "max"), ("segment_count", "min")]
    )
    lacking = counts.filter(pc.less(counts["segment_index_count_distinct"], counts["segment_count_max"]))
    if lacking.num_rows:
        report.problems.append(
            f"{lacking.num_rows} sources lack segments (run the job again to add them): {_some(lacking['source_id'])}"
        )
    torn = counts.filter(pc.not_equal(counts["segment_count_max"], counts["segment_count_min"]))
    if torn.num_rows:
        report.problems.append(f"{torn.num_rows} sources disagree on segment_count: {_some(torn['source_id'])}")


def _note_versions(report: Report, rows: pa.Table) -> None:
    """Several ids of one URI: its content changed between runs, or a table asks for several spans of it."""
    keys = ["source_uri", "segment_index"] if "segment_index" in rows.schema.names else ["source_uri"]
    if "start_s" in rows.schema.names:
        keys.append("start_s")
    counts = rows.group_by(keys).aggregate([("source_id", "count_distinct")])
    several = pc.unique(counts.filter(pc.greater(counts["source_id_count_distinct"], 1))["source_uri"])
    if len(several):
        report.notes.append(f"{len(several)} sources are there in several versions of their content: {_some(several)}")


def _check_manifest(report: Report, made_by: dict[str, Any]) -> None:
    if made_by.get("status") != "done":
        report.problems.append(f"manifest: the last run is {made_by.get('status')!r}, not done: run the job again")
        return
    for name, rows in manifest.recorded_parts(made_by).items():
        if name not in report.parts:
            report.problems.append(f"{name}: this part is gone, and {rows} rows with it")
        elif report.parts[name] not in (None, rows):
            report.problems.append(f"{name}: {rows} rows were written, {report.parts[name]} are there")


def _problem(report: Report, part: str, what: str, table: pa.Table, bad: np.ndarray[Any, Any]) -> None:
    count = int(bad.sum())
    if count:
        column = "segment_id" if "segment_id" in table.schema.names else "source_id"
        ids = table[column].filter(pa.array(bad))
        report.problems.append(f"{part}: {count} rows: {what}: {_some(ids)}")


def _some(ids: Any) -> str:
    shown = ", ".join(map(str, ids.slice(0, _EXAMPLES).to_pylist()))
    return shown if len(ids) <= _EXAMPLES else f"{shown}, ..."


def _mask(values: Any) -> np.ndarray[Any, Any]:
    mask: np.ndarray[Any, Any] = pc.fill_null(values, False).to_numpy()
    return mask


def _has(item: Any) -> bool:
    return item is not None and len(item) > 0


def _norm_is_off(item: Any) -> bool:
    norms = np.linalg.norm(np.asarray(item, np.float32), axis=1)
    return bool((np.abs(norms - 1) > _NORM_TOLERANCE).any())


def _size(uri: str) -> int:
    """Bytes of a file; -1 without one."""
    fs, path = storage.filesystem(uri)
    try:
        return int(storage.attempt(uri, lambda: fs.info(path))["size"])
    except FileNotFoundError:
        return -1
