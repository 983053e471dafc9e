"""The grid of calibration, and which cell a published number is nearest to."""

from __future__ import annotations

import numpy as np
import pytest

from v2a_core.media.types import Pcm
from v2a_core.metrics.extractors.imagebind import ImageBindExtractor
from v2a_core.metrics.extractors.synchformer import SynchformerExtractor
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Estimate
from v2a_core.metrics.systems.calibration import (
    KINDS,
    METRICS,
    PUBLISHED,
    Published,
    agreements,
    calibration_to_markdown,
    grid,
)
from v2a_core.metrics.systems.measure import SetResult


def result(name: str, value: float | None) -> SetResult:
    metric = SET_METRICS[name].component
    estimate = None if value is None else Estimate(value, 10)
    return SetResult(
        name, metric.title, metric.better, metric.extractor, "", PROTOCOLS["paper"], estimate, "no weights"
    )


def test_every_published_number_is_of_a_metric_that_there_is():
    assert set(SET_METRICS.names()) >= METRICS
    assert {number.kind for numbers in PUBLISHED.values() for number in numbers} <= KINDS.keys()


def test_the_grid_holds_the_protocols():
    cells = {(cell.length_s, cell.channels, cell.resampling) for cell in grid()}
    assert len(cells) == len(grid()) == len({cell.name for cell in grid()}) == 8
    for protocol in PROTOCOLS.values():
        assert (protocol.length_s, protocol.channels, protocol.resampling) in cells


def test_one_cell_hears_as_av_benchmark_does_and_one_as_the_paper():
    alike = {name: [cell.name for cell in grid() if cell.hears_as(name)] for name in PROTOCOLS}
    assert alike == {"paper": ["sinc-first-10s"], "av-benchmark": ["sinc-mean-8s"]}
    (cell,) = [cell for cell in grid() if cell.hears_as("av-benchmark")]
    assert ImageBindExtractor.heard(cell).channels == "first"
    assert not SynchformerExtractor.heard(cell).centred


def test_decimation_takes_every_third_sample_and_lets_high_tones_come_back_low():
    times = np.arange(48_000) / 48_000
    high = Pcm(np.sin(2 * np.pi * 13_000 * times).astype(np.float32)[:, None], 48_000)
    by_name = {cell.name: cell for cell in grid()}
    found = by_name["decimated-first-10s"].at_rate(high, 16_000)
    np.testing.assert_allclose(found, high.samples_TC[::3, 0], atol=1e-6)
    assert np.abs(np.fft.rfft(found)).argmax() == 3000  # 16 - 13 kHz
    assert np.abs(by_name["sinc-first-10s"].at_rate(high, 16_000)[100:-100]).max() < 0.01
    other = Pcm(high.samples_TC, 44_100)  # no multiple: there is nothing to decimate
    np.testing.assert_array_equal(
        by_name["decimated-first-10s"].at_rate(other, 16_000), by_name["sinc-first-10s"].at_rate(other, 16_000)
    )


def test_the_nearest_cell_is_named_and_says_whether_it_agrees():
    cells = {
        "sinc-first-10s": [result("fd_cnn14_16k", 8.0), result("fd_cnn14_32k", 20.0), result("fad_vggish", None)],
        "decimated-mean-8s": [result("fd_cnn14_16k", 24.0), result("fd_cnn14_32k", 30.0), result("fad_vggish", None)],
    }
    numbers = [Published("one", "FD", 24.168), Published("two", "FD", 13.0), Published("two", "FAD", 0.84)]
    first, second, third = agreements(cells, numbers)
    assert (first.cell, first.metric, first.agrees) == ("decimated-mean-8s", "fd_cnn14_16k", True)
    assert (second.cell, second.value, second.agrees) == ("sinc-first-10s", 8.0, False)
    assert third.to_dict() == {"source": "two", "kind": "FAD", "published": 0.84, "not_measured": "no weights"}
    text = calibration_to_markdown("v2a-mapper", cells, [first, second, third], 0.95)
    assert "| one | FD | 24.168 | decimated-mean-8s, fd_cnn14_16k | 24.000 | -0.7% | yes |" in text
    assert "not measured: no weights" in text
    assert "FAD" not in text.split("published by")[0]  # nobody measured it
    assert first.difference == pytest.approx(24 / 24.168 - 1)
