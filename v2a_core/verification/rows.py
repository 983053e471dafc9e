"""An output of rows: each part by itself, then all of them together, then what the manifest records."""

from __future__ import annotations

from collections import Counter, defaultdict

import pyarrow as pa
import pyarrow.compute as pc

from v2a_core import storage
from v2a_core.outputs import manifest, unfinished
from v2a_core.outputs.ledger import part_files
from v2a_core.tables.latest import latest
from v2a_core.tables.schema import INDEX_FOLDER, REJECTED, ROWS_FOLDER
from v2a_core.verification.media import check_media
from v2a_core.verification.parts import Finding
from v2a_core.verification.reader import PartReader
from v2a_core.verification.report import Report, first_few

_IDS = ("source_id", "source_key", "recorded_at", "status", "reject_stage", "reject_type")
_SEGMENTS = ("segment_id", "segment_index", "segment_count")
_PLACE = ("part", "row")  # where a row stands


def folder_of(report: Report) -> str:
    """The folder of an output's parts."""
    return storage.join(report.output, INDEX_FOLDER if report.job == "generate" else ROWS_FOLDER)


def check_rows(report: Report, reader: PartReader) -> None:
    """Check an output of `v2a embed`, `v2a generate` or `v2a evaluate`."""
    identity = manifest.identity_digest(report.made_by)
    tables = []
    for uri in part_files(folder_of(report)):
        found = reader.check(uri, str(report.job), identity)
        report.parts[found.name] = None if found.table is None else found.table.num_rows
        report.problems += [f"{found.name}: {why}" for why in found.unusable]
        if found.table is None:
            report.damage.parts.append(found.name)
            continue
        in_files = check_media(report.output, found.table) if report.job == "generate" else []
        for finding in (*found.findings, *in_files):
            _note(report, found.name, finding)
        tables.append(_placed(found.name, found.table, report))
    if tables:
        rows = pa.concat_tables(tables)
        if report.job != "generate":
            _check_completeness(report, rows)
        _check_ids(report, rows)
        _note_versions(report, rows)
    _check_manifest(report)
    report.summary = f"{report.rows} rows in {len(report.parts)} parts"


def _note(report: Report, part: str, finding: Finding) -> None:
    report.problems.append(f"{part}: {len(finding.rows)} rows: {finding.what}: {first_few(finding.ids)}")
    report.damage.mark(part, finding.rows)


def _placed(part: str, table: pa.Table, report: Report) -> pa.Table:
    """The ids of a part's rows, with where they stand."""
    names = _IDS if report.job == "generate" else (*_IDS, *_SEGMENTS)
    places = [pa.repeat(pa.scalar(part), table.num_rows).dictionary_encode(), pa.array(range(table.num_rows))]
    placed = table.select(names)
    for name, values in zip(_PLACE, places, strict=True):
        placed = placed.append_column(name, values)
    return placed


def _mark(report: Report, rows: pa.Table) -> None:
    for part, row in zip(rows["part"].to_pylist(), rows["row"].to_pylist(), strict=True):
        report.damage.mark(part, [row])


def _check_completeness(report: Report, rows: pa.Table) -> None:
    is_segment = pc.greater_equal(rows["segment_index"], 0)
    segments = rows.filter(is_segment)
    counts = segments.group_by("source_id").aggregate(
        [
            ("segment_index", "count_distinct"),
            ("segment_index", "max"),
            ("segment_count", "max"),
            ("segment_count", "min"),
        ]
    )
    torn = counts.filter(
        pc.or_(
            pc.not_equal(counts["segment_count_max"], counts["segment_count_min"]),
            pc.greater_equal(counts["segment_index_max"], counts["segment_count_min"]),
        )
    )["source_id"]
    if len(torn):
        report.problems.append(f"{len(torn)} sources disagree on segment_count: {first_few(torn)}")
        _mark(report, _of(segments, torn))
    whole = _of(rows.filter(pc.invert(is_segment)), counts["source_id"])
    if whole.num_rows:
        ids = whole["source_id"]
        report.problems.append(f"{len(ids)} sources are rejected as a whole beside their segments: {first_few(ids)}")
        _mark(report, whole)
    # Of an older version of a file, nobody can make what is missing.
    newest = pc.is_in(counts["source_id"], value_set=pc.unique(latest(rows)["source_id"]))
    lacks = pc.less(counts["segment_index_count_distinct"], counts["segment_count_max"])
    lacking = counts.filter(pc.and_(lacks, newest))["source_id"]
    if len(lacking):
        report.problems.append(f"{len(lacking)} sources lack segments: {first_few(lacking)}")


def _of(rows: pa.Table, sources: pa.ChunkedArray) -> pa.Table:
    return rows.filter(pc.is_in(rows["source_id"], value_set=sources.combine_chunks()))


def _check_ids(report: Report, rows: pa.Table) -> None:
    """Of several rows with one id, the first that has no other fault is kept."""
    column = "source_id" if report.job == "generate" else "segment_id"
    counts = rows.group_by(column).aggregate([(column, "count")])
    twice = counts.filter(pc.greater(counts[f"{column}_count"], 1))[column]
    if not len(twice):
        return
    report.problems.append(f"{len(twice)} values of {column} stand in several rows: {first_few(twice)}")
    places: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in rows.filter(pc.is_in(rows[column], value_set=twice.combine_chunks())).to_pylist():
        places[row[column]].append((row["part"], row["row"]))
    for found in places.values():
        good = [place for place in found if place[1] not in report.damage.rows.get(place[0], ())]
        for part, position in good[1:]:
            report.damage.mark(part, [position])


def _note_versions(report: Report, rows: pa.Table) -> None:
    """Rejects that still hold, and files that were replaced between two runs."""
    newest = latest(rows)
    rejected = newest.filter(pc.equal(newest["status"], REJECTED))
    if rejected.num_rows:
        stages, kinds = rejected["reject_stage"].to_pylist(), rejected["reject_type"].to_pylist()
        reasons = Counter(f"{stage}: {kind}" for stage, kind in zip(stages, kinds, strict=True))
        by_reason = ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
        report.notes.append(f"{rejected.num_rows} rows are rejected ({by_reason})")
    older = rows.num_rows - newest.num_rows
    if older:
        replaced = rows.group_by("source_key").aggregate([("source_id", "count_distinct")])
        count = pc.sum(pc.greater(replaced["source_id_count_distinct"], 1)).as_py()
        report.notes.append(
            f"{count} sources are there in several versions of their content: {older} rows are of older ones"
        )


def _check_manifest(report: Report) -> None:
    recorded = manifest.recorded_parts(report.made_by)
    for name, rows in recorded.items():
        if name not in report.parts:
            report.problems.append(f"{name}: this part is gone, and {rows} rows with it")
            report.damage.gone.append(name)
        elif report.parts[name] not in (None, rows):
            report.problems.append(f"{name}: {rows} rows were written, {report.parts[name]} are there")
            report.damage.redo = True
    status = report.made_by.get("status")
    waiting = unfinished.read(report.output).num_rows
    if waiting:
        report.problems.append(f"{waiting} sources wait to be fetched or written: run {report.again}")
    elif status != "done":
        report.problems.append(f"manifest: the last run is {status!r}, not done: run {report.again}")
    strays = report.parts.keys() - recorded.keys() - set(report.damage.parts)
    if strays and status == "done":
        report.notes.append(
            f"{len(strays)} parts are not recorded in the manifest, the next run adds them: {first_few(sorted(strays))}"
        )
