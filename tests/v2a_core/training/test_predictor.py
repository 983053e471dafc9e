"""A curve predictor in training: it learns what can be seen, and a segment's length changes nothing of it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional

from v2a_core.timing.predictors.gru_network import LEVELS
from v2a_core.training.columns import Columns, Splits
from v2a_core.training.distributed import Shard
from v2a_core.training.feed import MemoryFeed
from v2a_core.training.loop import Trainer
from v2a_core.training.predictor import PredictorSubject, alike, blurred, loudest_is_1
from v2a_core.training.predictor_config import PieceSettings, PredictorNetworkSettings, PredictorTraining

RATE, STEPS, FRAMES, DIM = 10, 5, 20, 8


@pytest.fixture(autouse=True)
def one_thread(threads_as_before):
    torch.set_num_threads(1)


def segments(rows: int, seed: int) -> Columns:
    """While something moves, it sounds: for four frames of segments of ten or twenty."""
    source = np.random.default_rng(seed)
    count_N = source.choice([FRAMES // 2, FRAMES], rows)
    seen_NG = np.arange(FRAMES) < count_N[:, None]
    begins_N1 = source.integers(0, count_N - 4)[:, None]
    moves_NG = (np.arange(FRAMES) >= begins_N1) & (np.arange(FRAMES) < begins_N1 + 4) & seen_NG
    frames = np.ones(DIM) + 0.01 * source.normal(size=(rows, FRAMES, DIM))
    onset_NF = np.zeros((rows, FRAMES * STEPS), np.float32)
    onset_NF[np.arange(rows), begins_N1[:, 0] * STEPS] = 1
    level_NF = np.maximum(0.05, np.repeat(moves_NG, STEPS, axis=1) * 1.0) * np.repeat(seen_NG, STEPS, axis=1)
    tensors = {
        "frames": frames.astype(np.float16),
        "motion": np.where(moves_NG, 0.2, 0.001).astype(np.float32),
        "level": level_NF.astype(np.float32),
        "onset": onset_NF,
        "count": count_N.astype(np.int64),
    }
    return Columns({name: torch.from_numpy(values) for name, values in tensors.items()}, "cpu", Shard(), rows)


def subject(dropout: float = 0.0, batch: int = 8) -> PredictorSubject:
    splits = Splits(segments(48, 0), segments(12, 1), {"train": 48, "validation": 12, "test": 0}, {})
    torch.manual_seed(0)
    network = PredictorNetworkSettings(width=24, hidden=16, dropout=dropout)
    return PredictorSubject(splits, network, PieceSettings(), rate=RATE, batch=batch, device="cpu")


def train(made: PredictorSubject, resume=None, keep=None, **changes):
    settings = PredictorTraining.model_validate({"epochs": 2, "global_batch": 8, **changes})
    reported = []

    def report(metrics, folder):
        reported.append(metrics)
        if keep is not None:
            shutil.copytree(folder, keep / f"step-{metrics['step']}", dirs_exist_ok=True)
        shutil.rmtree(folder)

    feed = MemoryFeed(made._splits.train, settings.global_batch, seed=0, device="cpu")
    Trainer(made, feed, settings, rows=48, seed=0, device="cpu", report=report).run(resume)
    return reported


@pytest.mark.slow
def test_it_learns_when_things_sound() -> None:
    reported = train(
        subject(), epochs=60, optimizer={"learning_rate": 0.01, "decay": "none"}, validation={"every_epochs": 20}
    )
    assert reported[-1]["validation_correlation"] > 0.9
    assert reported[-1]["validation_onsets"] > 0.8
    assert 0 < reported[-1]["validation_sure_spread"] < reported[-1]["validation_unsure_spread"]


def test_it_is_the_same_after_a_restart_dropout_and_all(tmp_path) -> None:
    whole, again = subject(dropout=0.3), subject(dropout=0.3)
    train(whole, keep=tmp_path)
    train(again, resume=tmp_path / "step-6")
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_what_fills_a_segment_up_is_neither_seen_nor_judged() -> None:
    made = subject()
    before = made.judge(made.model)[0]
    for split in (made._splits.train, made._splits.validation):
        filled_NG = torch.arange(FRAMES) >= split.tensors["count"][:, None]
        split.tensors["motion"][filled_NG] = 0.7
        split.tensors["frames"][filled_NG] = 3
    after = made.judge(made.model)[0]
    names = ("validation_loss", "validation_correlation", "validation_onsets", "validation_sure_spread")
    assert [before[name] for name in names] == [after[name] for name in names]
    generator = torch.Generator().manual_seed(1)
    given = {**made._splits.train.inputs(torch.arange(8)), **made.draws(8, generator)}
    losses = made.losses(made.model, given)
    one_by_one = [
        made.losses(made.model, {name: value[row : row + 1] for name, value in given.items()}) for row in range(8)
    ]
    assert torch.allclose(losses, torch.cat(one_by_one), atol=1e-5)


def test_the_loudest_moment_of_a_piece_is_1() -> None:
    found = loudest_is_1(torch.tensor([[0.2, 0.5, 0.1], [0.0, 0.0, 0.0]]))
    assert found[0].max() == pytest.approx(1, abs=1e-5)
    assert not found[1].any()


def test_levels_are_alike_when_they_rise_and_fall_together_and_those_that_stay_are_like_none() -> None:
    real_2F = torch.stack([torch.arange(50.0).sin(), torch.full((50,), 0.5)])
    alike_2 = alike(0.1 + 0.5 * real_2F, real_2F)
    assert alike_2[0] == pytest.approx(1, abs=1e-3)
    assert alike_2[1] == pytest.approx(0, abs=1e-3)
    assert alike(-real_2F, real_2F)[0] == pytest.approx(-1, abs=1e-3)


def test_the_weight_of_shapes_counts_what_is_unlike() -> None:
    made = subject()
    given = {**made._splits.train.inputs(torch.arange(8)), **made.draws(8, torch.Generator().manual_seed(1))}
    plain = made.losses(made.model, given)
    made._pieces = made._pieces.model_copy(update={"shape_weight": 0.5})
    more = made.losses(made.model, given) - plain
    assert ((more > 0) & (more < 1)).all()


def test_shapes_that_count_nothing_change_neither_losses_nor_what_is_learned() -> None:
    made = subject()
    assert made._pieces.shape_weight == 0
    source = torch.Generator().manual_seed(1)
    logits_BFK = torch.randn(3, 20, LEVELS, generator=source)
    onsets_BF, level_BF = torch.randn(3, 20, generator=source), torch.rand(3, 20, generator=source)
    onset_BF = (torch.rand(3, 20, generator=source) > 0.8).float()

    def without_shapes(said: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        wanted_BFK = blurred(level_BF, made._pieces.blur)
        level_B = -(wanted_BFK * said[0].log_softmax(dim=-1)).sum(dim=-1).mean(dim=1)
        onset_B = functional.binary_cross_entropy_with_logits(said[1], onset_BF, reduction="none").mean(dim=1)
        return level_B + made._pieces.onset_weight * onset_B

    found = []
    for compare in (without_shapes, lambda said: made._compared(said, level_BF, onset_BF)):
        said = (logits_BFK.clone().requires_grad_(), onsets_BF.clone().requires_grad_())
        losses_B = compare(said)
        losses_B.sum().backward()
        found.append((losses_B.detach(), said[0].grad, said[1].grad))
    for before, now in zip(*found, strict=True):
        assert torch.equal(before, now)
