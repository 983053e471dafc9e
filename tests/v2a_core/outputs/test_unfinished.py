from __future__ import annotations

import pyarrow as pa
import pytest

from v2a_core.catalog import Source
from v2a_core.media.types import MediaError
from v2a_core.outputs import unfinished
from v2a_core.outputs.unfinished import Unfinished, UnfinishedError
from v2a_core.tables import rows


def rejects(**stages: str) -> pa.Table:
    """A rejected row for each source, named by its stage."""
    made = [
        rows.rejected_row(Source(f"/videos/{name}", name, "video"), f"id-{name}", MediaError(stage, "Some", "told"))
        for name, stage in stages.items()
    ]
    return rows.table(made)


def test_what_may_pass_waits_and_the_rest_is_final(tmp_path):
    waits = Unfinished(str(tmp_path))
    final, waiting = waits.split(rejects(a="fetch", b="decode", c="write", d="mux"))
    assert final["source_name"].to_pylist() == ["b", "d"]
    assert waiting["source_name"].to_pylist() == ["a", "c"]
    with pytest.raises(UnfinishedError, match=r"2 sources .*1 x fetch: Some, 1 x write: Some.*'a': told.*tries them"):
        waits.check()


def test_a_source_that_waits_is_listed_until_it_is_tried(tmp_path):
    first = Unfinished(str(tmp_path))
    first.split(rejects(a="fetch", b="fetch"))
    first.split(rejects(a="fetch"))  # Ray may give a row twice
    first.save()
    assert unfinished.read(str(tmp_path))["source_name"].to_pylist() == ["a", "b"]
    second = Unfinished(str(tmp_path))
    second.split(rejects(b="decode"))
    second.check()
    second.save()
    assert unfinished.read(str(tmp_path))["source_name"].to_pylist() == ["a"]
    third = Unfinished(str(tmp_path))
    third.split(rejects(a="decode"))
    third.save()
    assert unfinished.read(str(tmp_path)).num_rows == 0
    assert list((tmp_path / "unfinished").iterdir()) == []


def test_a_damaged_list_costs_nothing(tmp_path):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "sources.parquet").write_bytes(b"PAR1 no")
    waits = Unfinished(str(tmp_path))
    waits.split(rejects(a="fetch"))
    waits.save()
    assert unfinished.read(str(tmp_path)).num_rows == 1


def test_what_is_left_of_a_source_that_was_begun_is_rejected_segment_by_segment():
    (row,) = rejects(a="decode").to_pylist()
    partial = rows.Partial(["s0", "s2"], [0, 2], 4)
    rest = rows.rejected_rest(row, partial)
    assert [(item["segment_index"], item["segment_count"], item["status"]) for item in rest] == [
        (1, 4, "rejected"), (3, 4, "rejected"),
    ]  # fmt: skip
    assert len({item["segment_id"] for item in rest}) == 2
