from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.compute.torchvision_import import prepare_torchvision
from v2a_core.media.mel_scale import mel_filters


@pytest.fixture(scope="module")
def library():
    prepare_torchvision()
    from transformers.audio_utils import mel_filter_bank

    return mel_filter_bank


@given(
    rate=st.sampled_from([16_000, 44_100, 48_000]),
    window=st.sampled_from([400, 512, 1024]),
    bands=st.integers(1, 128),
    edges=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).filter(lambda pair: pair[1] - pair[0] > 0.01),
)
def test_equals_the_bank_of_transformers(library, rate, window, bands, edges):
    lowest, highest = (edge * rate / 2 for edge in edges)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # narrow bands may hold no frequency
        theirs = library(window // 2 + 1, bands, lowest, highest, rate, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(mel_filters(rate, window, bands, lowest, highest), theirs, rtol=1e-6, atol=1e-9)


def test_filters_of_one_height_add_up_to_one_between_the_outer_centres():
    filters_KM = mel_filters(16_000, 4096, 40, 100, 8000, equal_area=False)
    first, last = filters_KM[:, 0].argmax(), filters_KM[:, -1].argmax()
    np.testing.assert_allclose(filters_KM[first + 1 : last].sum(axis=1), 1, rtol=1e-9)
