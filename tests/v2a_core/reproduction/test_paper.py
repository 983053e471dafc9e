"""The paper's numbers as data: whole, the same in every table, and as the paper sums them up."""

from __future__ import annotations

import pytest

from v2a_core.metrics import METRICS
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.reproduction.paper import EXTERNAL, OURS, REFERENCE, TABLES
from v2a_core.reproduction.systems import SYSTEMS
from workflows.train.sweep import load_sweep

ROWS = [(table, row) for table in TABLES.values() for row in table.rows]


def test_every_row_is_a_system_or_made_elsewhere():
    names = {row.name for _, row in ROWS}
    assert names == {*SYSTEMS, *EXTERNAL, REFERENCE}


def test_every_number_stands_in_a_column_of_its_table():
    for table, row in ROWS:
        assert row.paper.keys() <= {column.name for column in table.columns}, (table.number, row.name)


def test_a_system_has_one_number_a_column_in_all_tables():
    found: dict[tuple[str, str], set[float]] = {}
    for _, row in ROWS:
        for column, value in row.paper.items():
            found.setdefault((row.name, column), set()).add(value)
    assert all(len(values) == 1 for values in found.values())


def test_every_metric_of_a_column_is_one_of_the_programs():
    known = {*METRICS.names(), *SET_METRICS.names()}
    for table in TABLES.values():
        for column in table.columns:
            assert {*column.metrics, *column.stand_ins} <= known


@pytest.mark.parametrize("sweep", ["paper-ablations", "miniature-ablations"])
def test_every_mapper_is_a_run_of_the_shipped_sweeps(sweep):
    jobs = load_sweep(sweep).jobs
    assert {system.mapper for system in SYSTEMS.values() if system.mapper} == set(jobs)


def test_both_sweeps_have_the_same_runs():
    """In small only depths differ, and how long is trained."""
    large, small = (load_sweep(name).jobs for name in ("paper-ablations", "miniature-ablations"))
    for name, job in large.items():
        mine, theirs = small[name].mapper, job.mapper
        assert (mine.aggregator, mine.method.kind, mine.network.kind) == (
            theirs.aggregator,
            theirs.method.kind,
            theirs.network.kind,
        )


def test_the_abstract_says_what_table_1_says():
    """86 % fewer parameters, 53 % better in FD."""
    rows = {row.name: row.paper for row in TABLES[1].rows}
    ours, im2wav = rows[OURS], rows["im2wav"]
    assert round(1 - ours["parameters"] / im2wav["parameters"], 2) == 0.86
    assert round(1 - ours["fd"] / im2wav["fd"], 2) == 0.53
    assert all(rows[OURS]["fd"] < rows[name]["fd"] for name in EXTERNAL)
