from __future__ import annotations

import numpy as np
import pytest

from v2a_core.generators.ranking import Listener
from v2a_core.media.types import MediaSpec


class Loudest:
    """Says whether the first or the second half of what it hears is louder, as one of two directions."""

    def encode(self, waveforms_BT):
        halves = np.abs(waveforms_BT).reshape(len(waveforms_BT), 2, -1).mean(axis=2)
        return np.eye(2, dtype=np.float32)[halves.argmax(axis=1)]


def test_each_segment_is_compared_with_its_own_condition():
    rate = 16_000
    rising = np.sin(np.arange(10 * rate) * 0.3).astype(np.float32) * np.linspace(0, 1, 10 * rate, dtype=np.float32)
    both = np.concatenate([rising, rising[::-1]])
    first, second = np.eye(2, dtype=np.float32)
    listener = Listener(Loudest(), MediaSpec())

    def heard(*conditions):
        return listener.similarity(both, rate, [0.0, 10.0], np.stack(conditions))

    assert heard(second, first) == pytest.approx(1)
    assert heard(first, first) == pytest.approx(0.5)
    assert heard(first, second) == pytest.approx(0)
    many = np.tile(rising, 20)
    assert listener.similarity(many, rate, [10.0 * i for i in range(20)], np.stack([second] * 20)) == pytest.approx(1)
