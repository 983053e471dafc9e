from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from v2a_core.tables import arrays

optional_lengths = st.lists(st.none() | st.integers(0, 4), min_size=0, max_size=8)


@settings(max_examples=50, deadline=None)
@given(optional_lengths, st.integers(0, 3))
def test_vector_lists_come_back_as_they_were(lengths, skip):
    generator = np.random.default_rng(0)
    values = [None if n is None else generator.normal(size=(n, 3)).astype(np.float16) for n in lengths]
    column = pa.chunked_array([arrays.vector_lists(values, 3, np.float16)]).slice(min(skip, len(values)))
    for got, want in zip(arrays.read_vector_lists(column), values[min(skip, len(values)) :], strict=True):
        assert (got is None) == (want is None)
        if want is not None:
            np.testing.assert_array_equal(got, want)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), max_size=8), st.integers(0, 3))
def test_vectors_come_back_as_they_were(present, skip):
    values = [np.full(3, row, np.float32) if there else None for row, there in enumerate(present)]
    start = min(skip, len(values))
    column = pa.chunked_array([arrays.vectors(values, 3)]).slice(start)
    for got, want in zip(arrays.read_vectors(column), values[start:], strict=True):
        assert (got is None) == (want is None)
        if want is not None:
            np.testing.assert_array_equal(got, want)
