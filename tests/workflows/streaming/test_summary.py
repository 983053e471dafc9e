from __future__ import annotations

import pyarrow as pa
import pytest

from workflows.streaming.config import LimitSettings
from workflows.streaming.summary import LostSourcesError, Tally, TooManyRejectsError, sentence


def rows(good: int, bad: int, start: int = 0) -> pa.Table:
    return pa.table(
        {
            "source_id": [str(start + number) for number in range(good + bad)],
            "status": ["ok"] * good + ["rejected"] * bad,
            "reject_stage": pa.array([None] * good + ["decode"] * bad, pa.string()),
            "reject_type": pa.array([None] * good + ["Broken"] * bad, pa.string()),
        }
    )


def test_rejects_stop_a_run_after_the_grace_only():
    tally = Tally("embed", planned=1000)
    tally.add(rows(0, 50))
    tally.check(LimitSettings())
    tally.add(rows(0, 1, start=50))
    with pytest.raises(TooManyRejectsError, match=r"51 of 51 sources were rejected.*51 x decode: Broken"):
        tally.check(LimitSettings())


def test_the_share_is_the_limit():
    tally = Tally("embed", planned=1000)
    tally.add(rows(80, 20))
    tally.check(LimitSettings())
    tally.add(rows(0, 1, start=100))
    with pytest.raises(TooManyRejectsError):
        tally.check(LimitSettings())
    tally.check(LimitSettings(max_reject_share=1.0))


def test_what_listing_rejects_is_a_share_of_the_catalog():
    tally = Tally("embed", planned=1000)
    tally.add(rows(0, 150))
    tally.rejected_early = 150
    tally.check(LimitSettings())
    tally.add(rows(60, 10, start=150))
    tally.check(LimitSettings())
    missing = Tally("embed", planned=1000, rejected_early=201)
    with pytest.raises(TooManyRejectsError, match="201 of 1000"):
        missing.check(LimitSettings())


def missing(count: int, start: int) -> pa.Table:
    table = rows(0, count, start)
    for name, kind in (("reject_stage", "catalog"), ("reject_type", "NotFound")):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array([kind] * count))
    return table


def test_what_is_missing_is_on_neither_side_of_the_share():
    tally = Tally("embed", listed=1000, planned=1000)
    tally.add(missing(900, 0))
    tally.check(LimitSettings())
    tally.add(rows(40, 10, start=900))
    tally.check(LimitSettings())
    summary = tally.summary("out", "done")
    assert (summary["counts"]["sources_rejected"], summary["counts"]["sources_missing"]) == (10, 900)
    assert summary["totals"]["sources_missing"] == 900
    assert summary["totals"]["rejected_by_reason"] == summary["counts"]["rejected_by_reason"] == {"decode: Broken": 10}
    said = sentence(summary)
    assert "40 segments of 50 sources" in said
    assert "missing: 900 sources that the listing names and nobody has" in said
    tally.add(rows(0, 5, start=950))
    with pytest.raises(TooManyRejectsError, match=r"15 of 55 sources were rejected.*: 15 x decode: Broken"):
        tally.check(LimitSettings())


def test_a_source_without_a_row_is_noticed():
    tally = Tally("generate", planned=3)
    tally.add(rows(2, 0))
    with pytest.raises(LostSourcesError, match="1 of 3 sources ended without a row"):
        tally.check_whole()
    tally.arrive(rows(1, 0, start=2))
    tally.check_whole()
