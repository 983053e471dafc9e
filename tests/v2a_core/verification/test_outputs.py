"""A planted fault of each kind is found, a repair takes it out and nothing else, and a whole output has none."""

from __future__ import annotations

import datetime

import helpers_embeddings
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from helpers_verify import check

from v2a_core import storage
from v2a_core.compute.ids import pack
from v2a_core.config import ConfigError
from v2a_core.outputs import ledger, manifest
from v2a_core.outputs.parts import PartSettings, PartWriter, checksum
from v2a_core.tables import arrays
from v2a_core.tables.schema import EMBEDDINGS, UNFINISHED, UNFINISHED_FILE
from v2a_core.training.config import DataSettings
from v2a_core.training.selection import select
from v2a_core.verification import PartReader, repair, verify
from workflows.cli.main import main

ROWS = 12


def segments():
    """Four videos of three segments, with frame times."""
    names = [f"/videos/{row // 3}.mp4" for row in range(ROWS)]
    return helpers_embeddings.table(
        ROWS,
        source_uri=names,
        source_id=[f"id of {name}" for name in names],
        source_key=[f"key of {name}" for name in names],
        segment_index=[row % 3 for row in range(ROWS)],
        segment_count=[3] * ROWS,
        frame_times_s=[[0.5, 1.5, 2.5]] * ROWS,
    )


def write(folder, table, **identity):
    """An output of two parts; a second call goes on in the same output."""
    made_by = manifest.new("embed", identity=identity, config={}, bundle={}, spaces={})
    made_by = manifest.open_output(str(folder), made_by)
    metadata = manifest.part_metadata(made_by)
    writer = PartWriter(
        f"{folder}/rows", EMBEDDINGS, id_column="segment_id", seen=set(), settings=PartSettings(), metadata=metadata
    )
    for half in (table.slice(0, table.num_rows // 2), table.slice(table.num_rows // 2)):
        writer.add(half)
        writer.flush()
    manifest.close_output(str(folder), made_by, {"status": "done", "counts": {}}, writer.written)
    return folder


def run_again(folder):
    """What the job does with the output: a row for each segment that has none."""
    rows = ledger.embeddings_ledger(f"{folder}/rows")
    table = segments()
    table = table.take(pa.array(rows.unfinished(pack(table["source_id"]))))
    table = table.filter(
        pc.invert(pc.is_in(table["segment_id"], value_set=pa.array(rows.expected_again(), pa.string())))
    )
    write(folder, table)


@pytest.fixture
def output(tmp_path):
    return write(tmp_path / "out", segments())


def parts(output):
    return sorted(output.glob("rows/part-*.parquet"))


def rewrite(part, change):
    """Change a part, with a name that fits its new bytes."""
    pq.write_table(change(pq.read_table(part)), part)
    return part.rename(part.with_name(f"{part.stem.rpartition('-')[0]}-{checksum(part)}.parquet"))


def put(name, row, value):
    def change(table):
        values = table[name].to_pylist()
        values[row] = value
        field = table.schema.field(name)
        return table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))

    return change


def put_vector(name, row, vector):
    def change(table):
        frames = arrays.read_vector_lists(table["vision_frames"])
        sounds = arrays.read_vectors(table["clap_embedding"])
        (frames if name == "vision_frames" else sounds)[row] = vector
        column = (
            arrays.vector_lists(frames, 512, np.float16) if name == "vision_frames" else arrays.vectors(sounds, 512)
        )
        return table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)

    return change


def first_twice(table):
    return pa.concat_tables([table, table.slice(0, 1)])


def whole_reject(table):
    """The first source rejected as a whole, beside two of its segments."""
    changes = {"segment_id": "x-source", "segment_index": -1, "segment_count": 0, "status": "rejected"}
    for name, value in {**changes, "reject_type": "Gone", "reject_stage": "fetch"}.items():
        table = put(name, 0, value)(table)
    return table


def metadata(**values):
    def change(table):
        told = {**table.schema.metadata, **{key.encode(): value.encode() for key, value in values.items()}}
        return table.replace_schema_metadata(told)

    return change


ONE = np.ones(512, np.float32)
FAULTS = {
    "clap_embedding is not of norm 1": put_vector("clap_embedding", 0, ONE),
    "clap_embedding is not finite": put_vector("clap_embedding", 1, ONE * np.nan),
    "vision_frames is not of norm 1": put_vector("vision_frames", 0, np.stack([ONE] * 3)),
    "vision_frames is not finite": put_vector("vision_frames", 2, np.stack([ONE * np.inf] * 3)),
    "ok, but without frames": put_vector("vision_frames", 2, None),
    "frame times": put("frame_times_s", 1, [0.5]),
    "several rows": first_twice,
    "lack segments": lambda table: table.slice(1),
    "disagree on segment_count": put("segment_count", 0, 2),
    "beside their segments": whole_reject,
    "status is neither": put("status", 0, "fine"),
    "rejected without a reason": put("status", 0, "rejected"),
    "column silent is missing": lambda table: table.drop_columns(["silent"]),
    "column duration_s is string": lambda table: table.set_column(
        table.schema.get_field_index("duration_s"), "duration_s", pc.cast(table["duration_s"], pa.string())
    ),
    "belongs to another output": metadata(**{"v2a.identity": "0" * 32}),
    "of schema version 4": metadata(**{"v2a.identity": "", "v2a.schema_version": "4"}),
}


def test_a_whole_output_has_no_problems(output, capsys):
    assert main(["verify", str(output)]) == 0
    assert "12 rows in 2 parts, nothing wrong" in capsys.readouterr().out


@pytest.mark.parametrize("said", FAULTS)
def test_planted_faults_are_found_and_mended_and_nothing_else_is_touched(output, said):
    good, other = set(segments()["segment_id"].to_pylist()[6:]), parts(output)[1]
    content = other.read_bytes()
    rewrite(parts(output)[0], FAULTS[said])
    report = check(output)
    assert any(said in problem for problem in report.problems)
    repair(report)
    assert other.read_bytes() == content
    assert good <= set(ledger.read_columns(f"{output}/rows", ["segment_id"])["segment_id"].to_pylist())
    left = check(output).problems
    assert all("lack segments" in problem or "run the same `v2a embed` again" in problem for problem in left)
    run_again(output)
    assert check(output).problems == []
    ids = ledger.read_columns(f"{output}/rows", ["segment_id"])["segment_id"].to_pylist()
    assert sorted(ids) == sorted(segments()["segment_id"].to_pylist())


def test_flipped_bits_and_cut_files_are_found_moved_and_made_anew(output, capsys):
    first, second = parts(output)
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:-100])
    assert len([problem for problem in check(output).problems if "(checksum)" in problem]) == 2
    told = "\n".join(check(output).lines())
    assert f"`v2a verify {output} --repair` takes out what is damaged; then run the same `v2a embed` again" in told
    assert main(["verify", str(output), "--repair"]) == 0
    told = capsys.readouterr().out
    assert f"repair: {second.name}: moved to damaged/{second.name}" in told
    assert not parts(output)
    run_again(output)
    assert check(output).problems == []
    assert repair(check(output)) == []


def test_a_lost_part_is_missed_until_it_is_repaired(output):
    lost = parts(output)[0]
    lost.unlink()
    expected = f"{lost.name}: this part is gone, and 6 rows with it"
    assert expected in check(output).problems
    run_again(output)
    assert check(output).problems == [expected]  # the run's recount does not forget it
    assert repair(check(output)) == [f"{lost.name}: no longer expected"]
    run_again(output)
    assert check(output).problems == []


def test_a_repair_that_is_killed_half_way_is_mended_by_the_next(output, monkeypatch):
    rewrite(parts(output)[0], FAULTS["clap_embedding is not finite"])
    with monkeypatch.context() as patched:
        patched.setattr(storage, "remove", lambda uri: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            repair(check(output))
    assert any("several rows" in problem for problem in check(output).problems)
    repair(check(output))
    run_again(output)
    assert check(output).problems == []


def test_a_part_that_ends_its_reader_is_a_problem_of_its_own(output, monkeypatch):
    first = parts(output)[0]
    real = PartReader.check

    def crash(self, uri, job, identity):
        if uri == str(first):
            monkeypatch.setattr("v2a_core.verification.reader.check_part", _end)
            found = real(self, uri, job, identity)
            monkeypatch.undo()
            return found
        return real(self, uri, job, identity)

    monkeypatch.setattr(PartReader, "check", crash)
    report = verify(str(output))
    assert f"{first.name}: reading it ends the process that reads it" in report.problems
    assert list(report.parts.values()) == [None, 6]


def _end(*_):
    import os

    os.abort()


def test_an_unfinished_run_and_sources_that_wait_are_found(output):
    manifest.open_output(str(output), manifest.new("embed", identity={}, config={}, bundle={}, spaces={}))
    assert check(output).problems == ["manifest: the last run is 'running', not done: run the same `v2a embed` again"]
    waiting = {"source_id": "a", "source_key": "k", "source_uri": "/a", "source_name": "a", "status": "rejected"}
    waiting["recorded_at"] = datetime.datetime.now(datetime.UTC)
    table = pa.Table.from_pylist([waiting], schema=UNFINISHED)
    (output / UNFINISHED_FILE).parent.mkdir()
    pq.write_table(table, output / UNFINISHED_FILE)
    assert check(output).problems == ["1 sources wait to be fetched or written: run the same `v2a embed` again"]


def test_a_source_in_two_versions_is_a_note_and_its_old_reject_does_not_count(tmp_path):
    def older(table):
        for row in range(3):
            table = put("source_id", row, "old")(put("segment_id", row, f"old-{row}")(table))
        return put("status", 0, "rejected")(put("reject_stage", 0, "decode")(put("reject_type", 0, "Damaged")(table)))

    output = write(tmp_path / "out", older(segments()).slice(0, 3))
    assert check(output).notes == ["1 rows are rejected (1 x decode: Damaged)"]
    write(output, segments())
    report = check(output)
    assert report.problems == []
    assert report.notes == ["1 sources are there in several versions of their content: 3 rows are of older ones"]


def test_a_part_of_another_output_stops_a_run_that_would_read_it(output, tmp_path):
    foreign = parts(write(tmp_path / "other", segments(), seed=2))[0]
    planted = foreign.rename(output / "rows" / foreign.name)
    with pytest.raises(ledger.UnreadablePartError, match=f"{planted.name} belongs to another output.*--repair"):
        ledger.embeddings_ledger(f"{output}/rows")
    with pytest.raises(ledger.UnreadablePartError, match="belongs to another output"):
        select(str(output), DataSettings())
    repair(check(output))
    run_again(output)
    assert check(output).problems == []


def test_what_is_no_output_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"has no manifest\.json"):
        check(tmp_path)
    made_by = manifest.open_output(str(tmp_path), manifest.new("dance", identity={}, config={}, bundle={}, spaces={}))
    with pytest.raises(ConfigError, match="an output of `v2a dance`, which this program does not know"):
        check(tmp_path)
    storage.write_json(f"{tmp_path}/manifest.json", {**made_by, "job": "embed", "schema_version": 4})
    with pytest.raises(ConfigError, match="schema version 4"):
        check(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        check(tmp_path)
