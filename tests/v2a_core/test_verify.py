"""A planted fault of each kind is found, and a whole output has none."""

from __future__ import annotations

import helpers_embeddings
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from v2a_core import arrays, manifest
from v2a_core.config import ConfigError
from v2a_core.parts import PartSettings, PartWriter, checksum
from v2a_core.schema import EMBEDDINGS, INDEX
from v2a_core.verify import verify
from workflows.cli import main

ROWS = 12


def segments():
    """Four videos of three segments, with frame times."""
    names = [f"/videos/{row // 3}.mp4" for row in range(ROWS)]
    return helpers_embeddings.table(
        ROWS,
        source_uri=names,
        source_id=[f"id of {name}" for name in names],
        segment_index=[row % 3 for row in range(ROWS)],
        segment_count=[3] * ROWS,
        frame_times_s=[[0.5, 1.5, 2.5]] * ROWS,
    )


def write(folder, table, schema=EMBEDDINGS, id_column="segment_id", job="embed", inside="rows"):
    made_by = manifest.new(job, identity={}, config={}, bundle={}, spaces={})
    manifest.open_output(str(folder), made_by)
    writer = PartWriter(
        f"{folder}/{inside}", schema, id_column=id_column, seen=set(), settings=PartSettings(), metadata={}
    )
    for half in (table.slice(0, table.num_rows // 2), table.slice(table.num_rows // 2)):
        writer.add(half)
        writer.flush()
    manifest.close_output(str(folder), made_by, {"status": "done", "counts": {}}, writer.written)
    return folder


@pytest.fixture
def output(tmp_path):
    return write(tmp_path / "out", segments())


def rewrite(folder, change):
    """Change the first part, with a name that fits its new bytes."""
    part = sorted(folder.glob("rows/part-*.parquet"))[0]
    pq.write_table(change(pq.read_table(part)), part)
    part.rename(part.with_name(f"{part.stem.rpartition('-')[0]}-{checksum(part)}.parquet"))


def put(name, row, value):
    def change(table):
        values = table[name].to_pylist()
        values[row] = value
        field = table.schema.field(name)
        return table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))

    return change


def put_vector(name, row, vector):
    def change(table):
        frames = arrays.read_vector_lists(table["clip_frames"])
        sounds = arrays.read_vectors(table["clap_embedding"])
        (frames if name == "clip_frames" else sounds)[row] = vector
        column = arrays.vector_lists(frames, 512, np.float16) if name == "clip_frames" else arrays.vectors(sounds, 512)
        return table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)

    return change


def first_twice(table):
    return pa.concat_tables([table, table.slice(0, 1)])


ONE = np.ones(512, np.float32)
FAULTS = {
    "not of norm 1": put_vector("clap_embedding", 0, ONE),
    "clap_embedding is not finite": put_vector("clap_embedding", 1, ONE * np.nan),
    "clip_frames is not of norm 1": put_vector("clip_frames", 0, np.stack([ONE] * 3)),
    "clip_frames is not finite": put_vector("clip_frames", 2, np.stack([ONE * np.inf] * 3)),
    "ok, but without frames": put_vector("clip_frames", 2, None),
    "frame times": put("frame_times_s", 1, [0.5]),
    "several rows": first_twice,
    "lack segments": lambda table: table.slice(1),
    "disagree on segment_count": put("segment_count", 0, 2),
    "status is neither": put("status", 0, "fine"),
    "rejected without a reason": put("status", 0, "rejected"),
    "column silent is missing": lambda table: table.drop_columns(["silent"]),
    "column duration_s is string": lambda table: table.set_column(
        table.schema.get_field_index("duration_s"), "duration_s", pc.cast(table["duration_s"], pa.string())
    ),
}


def test_a_whole_output_has_no_problems(output, capsys):
    report = verify(str(output))
    assert (report.problems, report.notes, report.rows, len(report.parts)) == ([], [], ROWS, 2)
    assert main(["verify", str(output)]) == 0
    assert "12 rows in 2 parts, nothing wrong" in capsys.readouterr().out


@pytest.mark.parametrize("said", FAULTS)
def test_planted_faults_are_found(output, said):
    rewrite(output, FAULTS[said])
    assert any(said in problem for problem in verify(str(output)).problems)


def test_flipped_bits_and_cut_files_are_found(output, capsys):
    first, second = sorted(output.glob("rows/part-*.parquet"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:-100])
    assert main(["verify", str(output)]) == 1
    out = capsys.readouterr().out
    assert out.count("(checksum)") == 2
    assert f"{second.name}: not readable as Parquet" in out


def test_a_missing_part_and_an_unfinished_run_are_found(output):
    part = sorted(output.glob("rows/part-*.parquet"))[0]
    part.unlink()
    assert f"{part.name}: this part is gone, and 6 rows with it" in verify(str(output)).problems
    manifest.open_output(str(output), manifest.new("embed", identity={}, config={}, bundle={}, spaces={}))
    assert any("'running', not done" in problem for problem in verify(str(output)).problems)


def test_a_source_in_two_versions_is_a_note(tmp_path):
    table = segments()
    ids = [f"new {identity}" for identity in table["source_id"].to_pylist()]
    again = table.set_column(table.schema.get_field_index("source_id"), table.schema.field("source_id"), [ids])
    again = again.slice(0, 3)
    again = again.set_column(0, table.schema.field(0), [["x", "y", "z"]])
    report = verify(str(write(tmp_path / "out", pa.concat_tables([table, again]))))
    assert report.problems == []
    assert report.notes == ["1 sources are there in several versions of their content: /videos/0.mp4"]


def test_soundtracks_need_their_files(tmp_path, capsys):
    for name, content in (("good", b"RIFF"), ("empty", b"")):
        (tmp_path / f"{name}.wav").write_bytes(content)
    uris = [str(tmp_path / f"{name}.wav") for name in ("good", "empty", "gone")] + [None]
    values = {
        "source_id": list("abcd"), "source_uri": list("abcd"), "source_name": list("abcd"), "kind": ["video"] * 4,
        "audio_path": uris, "status": ["ok"] * 4,
    }  # fmt: skip
    table = pa.table({field.name: values.get(field.name, pa.nulls(4)) for field in INDEX}).cast(INDEX)
    folder = write(tmp_path / "out", table, INDEX, "source_id", "generate", "index")
    assert main(["verify", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "1 rows: audio_path: the file is empty: b" in out
    assert "1 rows: audio_path: there is no such file: c" in out
    assert "1 rows: ok, but without a soundtrack: d" in out
    assert "3 problems" in out


def test_what_is_no_output_is_refused(tmp_path, capsys):
    with pytest.raises(ConfigError, match=r"has no manifest\.json"):
        verify(str(tmp_path))
    manifest.open_output(str(tmp_path), manifest.new("train", identity={}, config={}, bundle={}, spaces={}))
    assert main(["verify", str(tmp_path)]) == 2
    assert "an output of `v2a train`" in capsys.readouterr().err
