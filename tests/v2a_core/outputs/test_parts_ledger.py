from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2a_core import storage
from v2a_core.compute.ids import pack
from v2a_core.outputs import ledger
from v2a_core.outputs import parts as parts_of
from v2a_core.outputs.parts import PartSettings, PartWriter
from v2a_core.tables.latest import latest
from v2a_core.tables.schema import EMBEDDINGS, INDEX, OK, REJECTED


def row(source: str, index: int, count: int, **more):
    return {
        "segment_id": f"{source}-{index}", "source_id": source, "source_key": f"key of {source}",
        "source_uri": f"/{source}", "source_name": source, "kind": "video", "segment_index": index,
        "segment_count": count, "status": OK, **more,
    }  # fmt: skip


def table(*rows):
    return pa.Table.from_pylist(list(rows), schema=EMBEDDINGS)


def writer(folder, seen=None, **settings):
    return PartWriter(
        str(folder), EMBEDDINGS, id_column="segment_id", seen=set() if seen is None else seen,
        settings=PartSettings(**settings), metadata={"v2a.schema_version": "1"},
    )  # fmt: skip


def complete(read, *ids):
    """Those of some sources that are complete."""
    unfinished = set(read.unfinished(pack(ids)).tolist())
    return [identity for number, identity in enumerate(ids) if number not in unfinished]


def wait_for(parts, rows, seconds=20.0):
    """Until so many rows are committed, nothing else asked of the writer."""
    for _ in range(int(seconds / 0.05)):
        if parts.rows_written >= rows:
            assert (parts.rows_written, sum(parts.written.values())) == (rows, rows)
            return
        threading.Event().wait(0.05)
    raise TimeoutError


def test_a_source_is_done_when_all_its_segments_have_a_row(tmp_path):
    parts = writer(tmp_path)
    parts.add(table(row("whole", 0, 2), row("half", 0, 2)))
    parts.flush()
    parts.add(table(row("whole", 1, 2), row("bad", -1, 0, status=REJECTED)))
    parts.flush()
    read = ledger.embeddings_ledger(str(tmp_path))
    assert complete(read, "whole", "half", "bad") == ["whole", "bad"]
    assert read.partial == {"half": ledger.Partial(["half-0"], [0], 2)}
    assert read.partial["half"].missing() == [1]
    assert (read.rows, read.parts) == (4, parts.written)
    assert read.expected_again() == ["half-0"]
    assert read.unfinished(pack(["bad", "new", "half", "whole"])).tolist() == [1, 2]


def test_an_empty_output_has_an_empty_ledger(tmp_path):
    empty = ledger.embeddings_ledger(str(tmp_path / "none"))
    assert (empty.totals(), empty.partial, empty.rows) == (ledger.Totals(), {}, 0)
    assert empty.unfinished(pack(["a", "b"])).tolist() == [0, 1]


def test_rows_are_written_once(tmp_path):
    parts = writer(tmp_path, seen={"a-0"})
    assert parts.add(table(row("a", 0, 2), row("a", 1, 2))).num_rows == 1
    assert parts.add(table(row("a", 1, 2))).num_rows == 0
    parts.flush()
    assert ledger.read_columns(str(tmp_path), ["segment_id"])["segment_id"].to_pylist() == ["a-1"]


def test_what_a_killed_writer_left_is_not_read(tmp_path):
    parts = writer(tmp_path)
    parts.add(table(row("a", 0, 1)))
    parts.flush()
    (tmp_path / f".{'0' * 32}.part-1.parquet").write_bytes(b"half a file")
    assert complete(ledger.embeddings_ledger(str(tmp_path)), "a", "b") == ["a"]


def test_parts_are_written_by_size_and_by_time(tmp_path):
    parts = writer(tmp_path, target_mb=1, interval_s=1000)
    frames = [np.zeros(512, np.float16)] * 200
    for index in range(8):
        parts.add(table(row("a", index, 8, vision_frames=frames)))
    parts.flush()
    assert 2 <= len(parts.written) <= 4
    quick = writer(tmp_path / "quick", interval_s=0)
    quick.add(table(row("a", 0, 1)))
    wait_for(quick, 1)


@pytest.mark.parametrize(("ran_s", "waits_s"), [(100, 60), (4000, 200), (40_000, 600), (400_000, 600)])
def test_rows_of_a_long_run_wait_no_longer_than_ten_minutes(tmp_path, monkeypatch, ran_s, waits_s):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    written = writer(tmp_path)
    clock[0] = ran_s - waits_s + 2.0
    written.flush()
    written.add(table(row("a", 0, 2)))
    clock[0] = ran_s - 1.0
    written.flush_if_due()
    with pytest.raises(TimeoutError):
        wait_for(written, 1, seconds=0.2)
    clock[0] = ran_s + 3.0
    written.flush_if_due()
    wait_for(written, 1)


def test_only_texts_are_kept_in_dictionaries(tmp_path):
    """Numbers of embeddings do not repeat."""
    parts = writer(tmp_path)
    parts.add(table(*(row("a", index, 2, clap_embedding=np.ones(512, np.float32)) for index in range(2))))
    parts.flush()
    group = pq.ParquetFile(next(tmp_path.glob("part-*.parquet"))).metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    kept = {column.path_in_schema for column in columns if any("DICTIONARY" in name for name in column.encodings)}
    assert {"source_id", "label", "status"} <= kept
    assert not [path for path in kept if path.startswith(("clap_embedding", "vision_frames"))]


def test_parts_hold_the_schema_and_metadata(tmp_path):
    parts = writer(tmp_path)
    parts.add(table(row("a", 0, 2, clap_embedding=np.ones(512, np.float32)), row("a", 1, 2)))
    parts.flush()
    (path,) = tmp_path.glob("part-*.parquet")
    read = pq.read_table(path)
    assert read.schema.metadata[b"v2a.schema_version"] == b"1"
    assert [None if value is None else len(value) for value in read["clap_embedding"].to_pylist()] == [512, None]


def test_an_object_store_works_like_a_folder(tmp_path):
    folder = f"memory://{tmp_path.name}"
    parts = writer(folder)
    parts.add(table(row("a", 0, 1)))
    parts.flush()
    assert complete(ledger.embeddings_ledger(folder), "a", "b") == ["a"]
    assert storage.list_files(folder, ".parquet") == ledger.part_files(folder)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=20), st.integers(1, 5))
def test_any_order_with_repeats_gives_each_row_once(tmp_path_factory, arrivals, flush_every):
    folder = tmp_path_factory.mktemp("parts")
    parts = writer(folder)
    done: set[str] = set()
    for number, (source, index) in enumerate(arrivals):
        if source in done:
            continue  # as a run does not plan it again
        parts.add(table(row(source, index, 3)))
        if number % flush_every == 0:
            parts.flush()
            found = ledger.embeddings_ledger(str(folder))  # as after a restart
            parts, done = writer(folder, seen=found.expected_again()), set(complete(found, *"abc"))
    parts.flush()
    read = ledger.read_columns(str(folder), ["segment_id"])
    ids = read["segment_id"].to_pylist() if read else []
    assert sorted(ids) == sorted({f"{source}-{index}" for source, index in arrivals})
    assert set(complete(ledger.embeddings_ledger(str(folder)), *"abc")) == {
        s for s in "abc" if all((s, index) in arrivals for index in range(3))
    }


def test_index_ledger_reads_sources(tmp_path):
    parts = PartWriter(
        str(tmp_path), INDEX, id_column="source_id", seen=set(), settings=PartSettings(), metadata={}
    )  # fmt: skip
    parts.add(pa.Table.from_pylist([row("a", 0, 1), row("b", 0, 1)], schema=INDEX))
    parts.flush()
    assert complete(ledger.index_ledger(str(tmp_path)), "a", "b", "c") == ["a", "b"]


def test_a_table_without_a_column_of_the_schema_is_refused(tmp_path):
    with pytest.raises(KeyError):
        writer(tmp_path).add(pa.table({"segment_id": ["a"]}))


def test_a_source_that_was_rejected_as_a_whole_is_no_segment(tmp_path):
    parts = writer(tmp_path)
    parts.add(table(*(row("torn", index, 5) for index in range(4)), row("torn", -1, 0, status=REJECTED)))
    parts.flush()
    read = ledger.embeddings_ledger(str(tmp_path))
    assert (complete(read, "torn"), read.partial["torn"].missing()) == ([], [4])


def test_the_newest_version_of_a_source_counts(tmp_path):
    parts = writer(tmp_path)
    reject = {"status": REJECTED, "reject_stage": "decode", "reject_type": "Truncated"}
    parts.add(table(row("old", -1, 0, source_key="same place", **reject), row("other", 0, 1)))
    parts.flush()
    before = ledger.embeddings_ledger(str(tmp_path))
    assert (before.totals().sources, before.totals().good) == (2, 1)
    assert before.totals().rejected == {"decode: Truncated": 1}
    keys, ids = pack(["key of other", "same place", "a third"]), pack(["other", "new", "third"])
    assert before.other_versions(keys, ids).tolist() == [1]
    assert before.totals(pack(["same place"])) == ledger.Totals(1, 1)
    parts.add(table(row("new", 0, 2, source_key="same place"), row("new", 1, 2, source_key="same place")))
    parts.flush()
    after = ledger.embeddings_ledger(str(tmp_path))
    assert after.totals() == ledger.Totals(2, 3)
    assert after.good_among(pack(["old", "new", "other"])) == 2
    assert complete(after, "old", "new", "other") == [
        "old",
        "new",
        "other",
    ]  # a version that comes back is not done again
    read = ledger.read_latest(str(tmp_path), ["segment_id"])
    assert sorted(read["segment_id"].to_pylist()) == ["new-0", "new-1", "other-0"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 50)), max_size=20))
def test_every_source_keeps_the_rows_of_its_last_version_and_no_others(found):
    keys = pa.array([f"k{key}" for key, _, _ in found], pa.string())
    ids = pa.array([f"k{key}v{version}" for key, version, _ in found], pa.string())
    times = pa.array([stamp for _, _, stamp in found], pa.timestamp("us", "UTC"))
    kept = latest(pa.table({"source_key": keys, "source_id": ids, "recorded_at": times})).to_pylist()
    newest = {}
    for key, version, stamp in found:
        newest[key] = max(newest.get(key, (-1, "")), (stamp, f"k{key}v{version}"))
    last_times = {}
    for key, version, stamp in found:
        name = f"k{key}v{version}"
        last_times[name] = max(last_times.get(name, -1), stamp)
    assert {row["source_key"] for row in kept} == {f"k{key}" for key, _, _ in found}
    for key in newest:
        versions = {row["source_id"] for row in kept if row["source_key"] == f"k{key}"}
        assert len(versions) == 1
        assert last_times[versions.pop()] == newest[key][0]


def test_rows_are_taken_in_while_parts_are_written(tmp_path, monkeypatch):
    """A loop that takes rows in does not wait for a part, but no more parts than there are threads are in memory."""
    held = threading.Semaphore(0)
    real = parts_of.write_part
    monkeypatch.setattr(parts_of, "write_part", lambda *given: held.acquire() and real(*given))
    parts = writer(tmp_path, interval_s=0, writers=2)
    for index in range(2):
        parts.add(table(row("a", index, 9)))
    assert parts.written == {}
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(parts.add, table(row("a", 2, 9)))
        with pytest.raises(TimeoutError):
            third.result(timeout=0.3)
        held.release()
        assert third.result(timeout=20).num_rows == 1
        held.release(9)
    parts.flush()
    assert sorted(parts.written.values()) == [1, 1, 1]
    assert sorted(ledger.embeddings_ledger(str(tmp_path)).partial["a"].indices) == [0, 1, 2]


def test_rows_of_a_part_that_could_not_be_written_are_written_later(tmp_path, monkeypatch):
    """What keeps a part from being written is raised where rows are taken in; nothing is lost, or there twice."""
    real, left = parts_of.write_part, [OSError("no room"), PermissionError("denied")]

    def write(*given):
        if left:
            raise left.pop(0)
        return real(*given)

    monkeypatch.setattr(parts_of, "write_part", write)
    parts = writer(tmp_path, interval_s=1000, writers=1)
    parts.add(table(row("a", 0, 3)))
    with pytest.raises(OSError, match="no room"):
        parts.flush()
    parts.add(table(row("a", 1, 3), row("a", 0, 3)))
    with pytest.raises(PermissionError):
        parts.flush()
    parts.flush()
    assert list(parts.written.values()) == [2]
    assert ledger.embeddings_ledger(str(tmp_path)).partial["a"].missing() == [2]


def test_who_has_lost_the_output_writes_no_part(tmp_path):
    def refuse():
        raise LookupError("another run owns it")

    parts = PartWriter(
        str(tmp_path), EMBEDDINGS, id_column="segment_id", seen=(), settings=PartSettings(), metadata={},
        before_commit=refuse,
    )  # fmt: skip
    parts.add(table(row("a", 0, 1)))
    with pytest.raises(LookupError):
        parts.flush()
    assert list(tmp_path.iterdir()) == []


def test_rows_are_sorted_and_what_helps_to_skip_is_said(tmp_path):
    parts = writer(tmp_path)
    parts.add(table(*(row(f"{n:02}", 0, 1, label="ab"[n % 2], split="train") for n in range(20))))
    parts.flush()
    (path,) = tmp_path.glob("part-*.parquet")
    assert pq.read_table(path, columns=["segment_id"])["segment_id"].to_pylist() == [
        f"{n:02}-0" for first in (0, 1) for n in range(first, 20, 2)
    ]
    group = pq.ParquetFile(path).metadata.row_group(0)
    said = {group.column(n).path_in_schema for n in range(group.num_columns) if group.column(n).is_stats_set}
    assert {"label", "split", "segment_index", "recorded_at"} <= said
    assert not [name for name in said if name.startswith(("clap_embedding", "vision_frames"))]
