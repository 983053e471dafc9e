"""Orders of items and systems: every system is everywhere equally often, and orders tell nothing of who is who."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from v2a_core.listening.making.forms import balanced_orders, make_forms, williams_square


@pytest.mark.parametrize("systems", range(1, 9))
def test_a_williams_square_is_balanced_in_places_and_in_who_follows_whom(systems):
    square = williams_square(systems)
    assert len(square) == (systems if systems % 2 == 0 else 2 * systems)
    for place in range(systems):
        assert set(np.bincount(square[:, place], minlength=systems)) == {len(square) // systems}
    follows = [tuple(pair) for row in square for pair in itertools.pairwise(row.tolist())]
    counts = {pair: follows.count(pair) for pair in itertools.permutations(range(systems), 2)}
    assert len(set(counts.values())) <= 1
    assert sum(counts.values()) == len(follows)


@pytest.mark.parametrize(("systems", "asked", "forms"), [(2, 20, 20), (3, 20, 24), (4, 5, 8), (5, 1, 10)])
def test_over_forms_each_item_has_each_system_at_each_place_equally_often(systems, asked, forms):
    orders = balanced_orders(7, systems, asked, np.random.default_rng(0))
    assert orders.shape == (forms, 7, systems)
    for item in range(7):
        for place in range(systems):
            assert set(np.bincount(orders[:, item, place], minlength=systems)) == {forms // systems}


def test_within_a_form_systems_are_spread_over_places_better_than_by_lot():
    def unevenness(orders: np.ndarray) -> float:
        counts = np.array([[np.bincount(form[:, place], minlength=3) for place in range(3)] for form in orders])
        return float(counts.max() - counts.min())

    random = np.random.default_rng(1)
    by_lot = np.array([[random.permutation(3) for _ in range(20)] for _ in range(24)])
    assert unevenness(balanced_orders(20, 3, 24, np.random.default_rng(1))) <= 4 < unevenness(by_lot)


def test_a_form_has_every_item_once_and_repeats_early_ones_the_other_way_round():
    forms = make_forms(20, 3, 20, 2, np.random.default_rng(2))
    assert len(forms) == 24
    for form in forms:
        first, again = form[:20], form[20:]
        assert sorted(shown.item for shown in first) == list(range(20))
        assert [shown.repeat for shown in form] == [False] * 20 + [True] * 2
        assert {shown.item for shown in again} <= {shown.item for shown in first[:10]}
        order = {shown.item: shown.systems for shown in first}
        assert all(shown.systems == order[shown.item][::-1] for shown in again)
    assert len({tuple(shown.item for shown in form) for form in forms}) == len(forms)


def test_a_seed_draws_the_same_and_another_one_others():
    same = [make_forms(6, 3, 6, 1, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert same[0] == same[1] != same[2]


@pytest.mark.parametrize("items", [1, 2])
def test_tests_of_few_items_repeat_what_they_can(items):
    for form in make_forms(items, 2, 4, 5, np.random.default_rng(0)):
        assert sum(shown.repeat for shown in form) == min(1, items - 1)
