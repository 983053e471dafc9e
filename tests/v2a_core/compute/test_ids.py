from __future__ import annotations

from unittest import mock

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from v2a_core.compute import ids
from v2a_core.compute.ids import GrowingIds, IdTable, pack, unpack

HEX = st.binary(min_size=16, max_size=16).map(bytes.hex)
TEXTS = st.lists(st.one_of(HEX, st.text(max_size=40)))


@settings(max_examples=50, deadline=None)
@given(TEXTS, TEXTS)
def test_ids_are_found_where_they_are(first, second):
    table = IdTable(pack(first))
    expected = [first.index(text) if text in first else -1 for text in second]
    assert table.find(pack(second)).tolist() == expected
    assert table.find(pack(first)).tolist() == [first.index(text) for text in first]


@given(st.lists(HEX), st.integers(0, 5))
def test_digits_come_back(texts, offset):
    assert unpack(pack(texts)) == texts
    text = pa.string()
    chunks = [pa.array(texts, text), pa.array(["", *texts], text).slice(1), pa.array(texts, text).slice(offset)]
    assert unpack(pack(pa.chunked_array(chunks, text))) == [*texts, *texts, *texts[offset:]]


def test_ids_whose_first_halves_are_equal_are_told_apart():
    same = np.array([[7, 1], [7, 3], [7, 2], [8, 1]], np.uint64)
    assert IdTable(same).find(same[::-1]).tolist() == [3, 2, 1, 0]
    assert IdTable(same[:2]).find(same).tolist() == [0, 1, -1, -1]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 40), max_size=10), max_size=20), st.integers(1, 8))
def test_a_growing_set_takes_each_id_once(batches, recent):
    with mock.patch.object(ids, "_RECENT", recent):  # small: so that runs are made and merged
        grown, known = GrowingIds(pack(["0", "1"])), {0, 1}
        for batch in batches:
            new = grown.add(pack([str(number) for number in batch]))
            expected = [number not in known and number not in batch[:row] for row, number in enumerate(batch)]
            assert new.tolist() == expected
            known |= set(batch)
