"""Rows on disk: read in blocks, and no number depends on the blocks."""

from __future__ import annotations

import numpy as np
import pytest

from v2a_core.metrics import stored
from v2a_core.metrics.stored import StoredRows, blocks, gathered


@pytest.fixture
def rows(tmp_path):
    values = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)
    values.tofile(tmp_path / "rows.f32")
    return values, StoredRows(tmp_path / "rows.f32", 3)


def test_rows_come_back(rows, monkeypatch):
    values, found = rows
    monkeypatch.setattr(stored, "BLOCK", 5)
    assert found.shape == (23, 3)
    np.testing.assert_array_equal(found[4:9], values[4:9])
    np.testing.assert_array_equal(found.take([7, 2, 2]), values[[7, 2, 2]])
    assert [len(part) for part in blocks(found)] == [5, 5, 5, 5, 3]
    np.testing.assert_array_equal(gathered(found), values)
    chosen = np.arange(23) % 4 == 1
    np.testing.assert_array_equal(gathered(found, chosen), values[chosen])
    np.testing.assert_array_equal(gathered(values, chosen), values[chosen])


def test_a_file_that_is_not_there_has_no_rows(tmp_path):
    found = StoredRows(tmp_path / "none", 4)
    assert found.shape == (0, 4)
    assert gathered(found).shape == (0, 4)
    assert found.take([]).shape == (0, 4)
