"""The limit that a dry run tells: measured on rows of the job's own schema."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from v2a_core.outputs import commit_rate, parts
from v2a_core.outputs.parts import PartSettings
from v2a_core.tables.schema import EMBEDDINGS, INDEX, index_schema


@pytest.mark.parametrize(
    "schema",
    [EMBEDDINGS, pytest.param(INDEX, marks=pytest.mark.slow), index_schema(True)],
    ids=["embeddings", "index", "with curves"],
)
def test_rows_of_every_schema_are_written(schema: pa.Schema) -> None:
    assert commit_rate.commit_rate(schema, PartSettings()) > 0


def test_the_rate_is_that_of_writing_times_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_rate, "write_part", lambda *_: time.sleep(0.2))
    schema = pa.schema([("segment_id", pa.string())])
    one, four = (commit_rate.commit_rate(schema, PartSettings(writers=count)) for count in (1, 4))
    assert one == pytest.approx(2048 / 0.2, rel=0.3)
    assert four == pytest.approx(4 * one, rel=0.3)


@pytest.mark.parametrize(("cpus", "threads"), [(1, 1), (2, 1), (8, 2), (64, 4)])
def test_parts_at_once_go_with_the_machine(monkeypatch: pytest.MonkeyPatch, cpus: int, threads: int) -> None:
    monkeypatch.setattr(parts.os, "cpu_count", lambda: cpus)
    assert (PartSettings().threads, PartSettings(writers=7).threads) == (threads, 7)
