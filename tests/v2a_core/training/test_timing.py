"""How long steps take, measured on random numbers."""

from __future__ import annotations

import time

import pytest

from v2a_core.mappers.config import MapperSettings
from v2a_core.training.config import TrainingSettings
from v2a_core.training.timing import time_steps

SMALL = {"method": {"kind": "diffusion"}, "network": {"kind": "mlp", "width": 64, "depth": 1}}


def timed(rows: int, validation_rows: int = 40, **settings):
    training = TrainingSettings(precision="fp32", global_batch=512, **settings)
    return time_steps(
        MapperSettings.model_validate(SMALL),
        training,
        rows=rows,
        validation_rows=validation_rows,
        vision_dim=24,
        embedding_dim=32,
        device="cpu",
    )


def test_steps_and_validations_have_a_length():
    started = time.monotonic()
    few = timed(64)
    took = time.monotonic() - started
    assert 0 < few.step_s < took
    assert 0 < few.validation_s < took


def test_more_rows_than_are_tried_take_longer_in_proportion(monkeypatch):
    monkeypatch.setattr("statistics.median", lambda laps: 0.5)
    assert timed(640).step_s == pytest.approx(5.0)
    assert timed(3).step_s == pytest.approx(0.5)


def test_a_single_row_to_judge_by_is_enough():
    assert timed(2, validation_rows=1).validation_s > 0
