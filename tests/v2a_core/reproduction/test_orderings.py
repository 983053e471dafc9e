"""Orderings are decided by intervals of differences, in the paper's order, and by nothing else."""

from __future__ import annotations

import math

import pytest

from v2a_core.metrics.base import Score
from v2a_core.reproduction.comparison import Comparison
from v2a_core.reproduction.orderings import (
    HELD,
    NOT_HELD,
    OVERLAPPING,
    UNKNOWN,
    in_order,
    orderings_of,
    verdict,
    wanted_pairs,
)
from v2a_core.reproduction.paper import CS, FD, OURS, PICTURES_CS, TABLES

ALL = [row.name for row in TABLES[4].rows]


def difference(low, high):
    return Score((low + high) / 2, low, high, 9)


@pytest.mark.parametrize(
    ("low", "high", "lower_is_better", "higher_is_better"),
    [
        (-3, -1, HELD, NOT_HELD),
        (1, 3, NOT_HELD, HELD),
        (-1, 2, OVERLAPPING, OVERLAPPING),
        (0, 0, OVERLAPPING, OVERLAPPING),
        (0, 2, OVERLAPPING, OVERLAPPING),
        (math.nan, math.nan, UNKNOWN, UNKNOWN),
    ],
)
def test_the_interval_of_a_difference_decides(low, high, lower_is_better, higher_is_better):
    assert verdict(difference(low, high), "lower") == lower_is_better
    assert verdict(difference(low, high), "higher") == higher_is_better


def test_the_order_is_the_papers():
    assert [row.name for row in in_order(TABLES[4], FD, ALL)] == [
        OURS, "diffusion-mlp", "regression-transformer", "regression-mlp",
    ]  # fmt: skip
    assert [row.name for row in in_order(TABLES[4], CS, ALL)] == [
        "regression-transformer", "regression-mlp", OURS, "diffusion-mlp",
    ]  # fmt: skip
    assert [row.name for row in in_order(TABLES[1], CS, [row.name for row in TABLES[1].rows])] == [
        OURS, "im2wav", "clipsonic-iq",
    ]  # fmt: skip


def test_only_rows_that_are_there_are_neighbours():
    pairs = wanted_pairs([TABLES[4]], [OURS, "regression-mlp"])
    assert set(pairs) == {(OURS, "regression-mlp"), ("regression-mlp", OURS)}  # by FD, and by CS
    assert len(wanted_pairs([TABLES[4], TABLES[4]], ALL)) == len(wanted_pairs([TABLES[4]], ALL))
    assert wanted_pairs([TABLES[4]], [OURS]) == ()


def comparison(pairs, metric="clap_frechet"):
    """Differences of systems whose own values do not matter here."""
    names = {name for pair in pairs for name in pair}
    systems = {name: {metric: {"title": "FD of CLAP", "value": 1.0, "count": 9}} for name in names}
    return Comparison(systems, {pair: {metric: score} for pair, score in pairs.items()})


@pytest.mark.parametrize(
    ("second", "third", "whole"),
    [
        (difference(-2, -1), difference(-2, -1), HELD),
        (difference(-2, -1), difference(-2, 1), OVERLAPPING),
        (difference(-2, 1), difference(1, 2), NOT_HELD),
        (difference(-2, -1), difference(math.nan, math.nan), UNKNOWN),
    ],
)
def test_an_ordering_is_held_when_all_of_its_pairs_are(second, third, whole):
    found = orderings_of(
        TABLES[5],
        FD,
        comparison({(OURS, "random-frame"): second, ("random-frame", "middle-frame"): third}),
        {"middle-frame"},
    )
    assert found is not None
    assert found.rows == (OURS, "random-frame", "middle-frame")
    assert found.verdict == whole
    assert found.untrained == ("middle-frame",)


def test_a_column_that_nothing_measured_has_no_ordering():
    assert orderings_of(TABLES[5], PICTURES_CS, comparison({(OURS, "random-frame"): difference(1, 2)}), ()) is None
