from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from v2a_core.training import plots
from v2a_core.training.checkpoint import ROWS_FILE, load_shown
from v2a_core.training.history import score
from v2a_core.training.validation import MappedRows, judge


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def mapped_rows(count: int = 40, noise: float = 0.0, labels: list[str] | None = None, dim: int = 16) -> MappedRows:
    random = np.random.default_rng(0)
    target = unit(random.normal(size=(count, dim)))
    mapped = unit(target + noise * random.normal(size=target.shape))
    names = np.array(labels or [""] * count, dtype=np.str_)
    return MappedRows(unit(random.normal(size=(count, dim))), target, mapped, names)


def test_a_perfect_mapper_is_perfect():
    found = judge(mapped_rows())
    assert found["validation_cosine"] == pytest.approx(1, abs=1e-6)
    assert found["validation_recall_at_1"] == found["validation_recall_at_10"] == 1
    assert found["validation_median_rank"] == 1
    assert found["validation_frechet"] == pytest.approx(0, abs=1e-5)
    assert found["validation_variance_ratio"] == pytest.approx(1, abs=1e-5)
    assert "by_class" not in found


def test_a_mapper_that_always_says_the_same_is_found_out():
    rows = mapped_rows()
    constant = MappedRows(rows.condition_MV, rows.target_ME, np.repeat(rows.target_ME[:1], 40, axis=0), rows.labels_M)
    found = judge(constant)
    assert found["validation_variance_ratio"] == pytest.approx(0, abs=1e-6)
    assert found["validation_recall_at_1"] == pytest.approx(1 / 40)
    assert found["validation_median_rank"] == pytest.approx(20.5)
    assert found["validation_frechet"] > 0.5


def test_a_world_of_equal_sounds_gives_nothing_to_retrieve():
    rows = mapped_rows()
    same = np.repeat(rows.target_ME[:1], 40, axis=0)
    found = judge(MappedRows(rows.condition_MV, same, same, rows.labels_M))
    assert found["validation_median_rank"] == pytest.approx(20.5)
    assert found["validation_recall_at_10"] == 0
    assert found["validation_variance_ratio"] is None


@given(arrays(np.float32, (12, 4), elements=st.floats(-1, 1, width=32)))
def test_ranks_are_those_of_sorting(raw):
    target = unit(np.random.default_rng(1).normal(size=(12, 4)))
    mapped = raw + np.float32(1e-3)
    found = judge(MappedRows(target, target, mapped, np.array([""] * 12)))
    similarity = mapped.astype(np.float64) @ target.T
    ranks = [list(np.argsort(-row, kind="stable")).index(number) + 1 for number, row in enumerate(similarity)]
    if all(len(set(row)) == 12 for row in similarity):
        assert found["validation_median_rank"] == np.median(ranks)
        assert found["validation_recall_at_5"] == np.mean(np.array(ranks) <= 5)


def test_classes_are_judged_apart():
    rows = mapped_rows(labels=["dog"] * 10 + ["cat"] * 20 + [""] * 10)
    worse = rows.mapped_ME.copy()
    worse[:10] = -worse[:10]
    found = judge(MappedRows(rows.condition_MV, rows.target_ME, worse, rows.labels_M))["by_class"]
    assert found == {
        "cat": {"rows": 20, "cosine": 1.0, "recall_at_10": 1.0},
        "dog": {"rows": 10, "cosine": -1.0, "recall_at_10": 0.0},
    }


def test_one_row_has_no_distribution():
    assert judge(mapped_rows(1))["validation_frechet"] is None


def test_less_is_better_of_loss_and_distance():
    metrics = {"validation_loss": 2.0, "validation_cosine": 0.5, "validation_frechet": None}
    assert score(metrics, "loss") == -2
    assert score(metrics, "cosine") == 0.5
    assert score(metrics, "frechet") == 0


def test_rows_survive_a_file(tmp_path):
    rows = mapped_rows(5, labels=["a", "b", "", "ä", "a"])
    np.savez(tmp_path / ROWS_FILE, **vars(rows))
    loaded = MappedRows.of(load_shown(tmp_path))
    for name, value in vars(rows).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)


def test_projection_keeps_clouds_apart():
    near, far = np.random.default_rng(0).normal(0, 0.1, size=(2, 5, 8))
    far = far + 3
    how, places = plots.project(np.concatenate([near, far]).astype(np.float32))
    assert how == "PCA"
    assert places.shape == (10, 2)
    assert np.linalg.norm(places[:5].mean(0) - places[5:].mean(0)) > 5


def test_pictures_are_drawn(tmp_path):
    row = {"step": 5, "train_loss": 1.0, "validation_loss": 1.0, **judge(mapped_rows(noise=0.3))}
    row["validation_frechet"] = None
    losses = [{"step": 1, "train_loss": 1.0, "gradient_norm": 0.1}]
    plots.draw_curves([row], losses, tmp_path / "curves.png")
    plots.draw_histogram(mapped_rows(noise=0.3), tmp_path / "histogram.png")
    plots.draw_projection(mapped_rows(noise=0.3), tmp_path / "projection.png")
    for path in tmp_path.iterdir():
        assert path.read_bytes()[:4] == b"\x89PNG"
