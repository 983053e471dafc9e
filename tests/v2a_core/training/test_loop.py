from __future__ import annotations

import dataclasses
import json
import shutil

import helpers_embeddings as world
import numpy as np
import pytest
import safetensors.torch
import torch

from v2a_core.mappers import build
from v2a_core.mappers.config import MapperSettings
from v2a_core.mappers.export import WEIGHTS_FILE
from v2a_core.training import lanes
from v2a_core.training.checkpoint import best_weights
from v2a_core.training.config import DataSettings, TrainingSettings
from v2a_core.training.data import Pairs, load
from v2a_core.training.feed import MemoryFeed
from v2a_core.training.loop import DivergedError, steps_per_epoch, total_steps
from v2a_core.training.mapping import mapper_trainer
from v2a_core.training.selection import select

SMALL = {
    "transformer": {"kind": "transformer", "width": 64, "depth": 2, "heads": 4, "head_dim": 16},
    "mlp": {"kind": "mlp", "width": 128, "depth": 2},
}


@pytest.fixture(autouse=True)
def one_thread(threads_as_before):
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = world.write(tmp_path_factory.mktemp("linear") / "embeddings", world.table(600))
    return load(select(folder, DataSettings(validation_share=0.1)), world.SPACES, "average", 512)


def training(**changes) -> TrainingSettings:
    values = {
        "epochs": 4,
        "global_batch": 64,
        "precision": "fp32",
        "optimizer": {"learning_rate": 2e-3, "warmup_steps": 10},
        "validation": {"sampled_rows": 32, "sampling_steps": 6},
    }
    return TrainingSettings.model_validate({**values, **changes})


def train(
    data, method="regression", network="mlp", *, resume=None, keep=None, stop_after=None, device="cpu", **changes
):
    """Train; returns the reported metrics and the model. Checkpoints are copied into `keep`."""
    torch.manual_seed(0)
    model = build(MapperSettings.model_validate({"method": {"kind": method}, "network": SMALL[network]})).to(device)
    reported = []

    def report(metrics, folder):
        reported.append(metrics)
        if keep is not None:
            shutil.copytree(folder, keep / f"step-{metrics['step']}", dirs_exist_ok=True)
        shutil.rmtree(folder)
        if stop_after == metrics["step"]:
            raise KeyboardInterrupt

    trainer = mapper_trainer(model, data, training(**changes), seed=3, device=device, report=report)
    if stop_after is None:
        trainer.run(resume)
    else:
        with pytest.raises(KeyboardInterrupt):
            trainer.run(resume)
    return reported, model


@pytest.mark.parametrize(
    ("method", "network", "epochs"),
    [
        ("regression", "mlp", 6),
        pytest.param("regression", "transformer", 6, marks=pytest.mark.slow),
        ("diffusion", "transformer", 15),
        pytest.param("diffusion", "mlp", 15, marks=pytest.mark.slow),
        pytest.param("flow", "mlp", 15, marks=pytest.mark.slow),
    ],
)
def test_learns_a_linear_world(data, method, network, epochs):
    every = 1 if method == "flow" else epochs // 3  # flow has learned what there is after a few epochs
    reported, _ = train(data, method, network, epochs=epochs, validation={"every_epochs": every, "sampled_rows": 32})
    cosines = [row["validation_cosine"] for row in reported]
    assert cosines[-1] > 0.6, cosines
    assert cosines[-1] > cosines[0]
    assert reported[-1]["validation_loss"] < reported[0]["validation_loss"]
    assert reported[-1]["epoch"] == epochs


def test_goes_on_from_a_checkpoint_bit_for_bit(data, tmp_path):
    whole, straight = train(data, "diffusion", "mlp", epochs=3)
    train(data, "diffusion", "mlp", epochs=3, keep=tmp_path, stop_after=whole[0]["step"])
    rest, resumed = train(data, "diffusion", "mlp", epochs=3, resume=tmp_path / f"step-{whole[0]['step']}")
    for name, value in straight.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)
    untimed = [
        {key: row[key] for key in ("step", "train_loss", "validation_loss", "validation_cosine")} for row in whole
    ]
    assert [{key: row[key] for key in untimed[0]} for row in rest] == untimed[1:]


def test_goes_on_in_the_middle_of_an_epoch_bit_for_bit(data, tmp_path):
    settings = {"epochs": 2, "checkpoints": {"every_steps": 3}}
    whole, straight = train(data, "flow", "mlp", **settings)
    assert [row["step"] for row in whole] == [3, 6, 9, 9, 12, 15, 18, 18]
    train(data, "flow", "mlp", keep=tmp_path, stop_after=12, **settings)
    rest, resumed = train(data, "flow", "mlp", resume=tmp_path / "step-12", **settings)
    for name, value in straight.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)
    assert rest[-1]["train_loss"] == whole[-1]["train_loss"]
    assert rest[-1]["validation_frechet"] == whole[-1]["validation_frechet"]


class Turning(Pairs):
    """From the third epoch on, the sounds are the opposite: a mapper that has learned gets worse."""

    def begin_epoch(self, seed, epoch):
        if epoch == 2:
            self.target_NE = -self.target_NE


def turning(data):
    pairs = Turning(data.train.target_NE, data.train.condition_NV)
    return type(data)(pairs, data.validation, data.left_out, data.counts)


def test_every_checkpoint_holds_the_best_mapper_so_far(data, tmp_path):
    reported, _ = train(turning(data), epochs=5, keep=tmp_path)
    best = max(reported, key=lambda row: row["score"])
    last = tmp_path / f"step-{reported[-1]['step']}"
    assert best["step"] < reported[-1]["step"]
    kept = safetensors.torch.load_file(best_weights(last, WEIGHTS_FILE))
    wanted = safetensors.torch.load_file(tmp_path / f"step-{best['step']}" / "mapper.safetensors")
    for name, value in wanted.items():
        torch.testing.assert_close(kept[name], value, rtol=0, atol=0)


def test_no_improvement_stops_the_run(data):
    reported, _ = train(turning(data), epochs=50, validation={"sampled_rows": 8, "sampling_steps": 2, "patience": 2})
    scores = [row["score"] for row in reported]
    assert len(scores) < 50
    assert max(scores) == scores[-3]
    assert all(later <= scores[-3] for later in scores[-2:])


def test_a_row_without_weight_is_not_learned_from(data):
    half = torch.zeros(len(data.train))
    half[: len(half) // 2] = 2.0
    weighted = type(data)(dataclasses.replace(data.train, weight_N=half), data.validation, data.left_out, data.counts)
    lonely = Pairs(data.train.target_NE.clone(), data.train.condition_NV)
    lonely.target_NE[len(half) // 2 :] = 0.5  # would be learned, had they a weight
    nonsense = type(data)(dataclasses.replace(lonely, weight_N=half), data.validation, data.left_out, data.counts)
    one, other = train(weighted, epochs=1)[0][-1], train(nonsense, epochs=1)[0][-1]
    assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-6)
    assert one["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-6)
    assert one["train_loss"] != pytest.approx(train(data, epochs=1)[0][-1]["train_loss"], rel=1e-6)


def test_a_checkpoint_holds_the_history(data, tmp_path):
    reported, _ = train(data, epochs=2, keep=tmp_path)
    lines = (tmp_path / f"step-{reported[-1]['step']}" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == reported


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("network", ["transformer", "mlp"])
@pytest.mark.parametrize("method", ["diffusion", "regression", "flow"])
def test_a_cuda_graph_gives_the_same_curve(tmp_path, method, network):
    folder = world.write(tmp_path / "embeddings", world.table(600))
    data = load(select(folder, DataSettings(validation_share=0.1)), world.SPACES, "average", 512, device="cuda")
    whole, _ = train(data, method, network, device="cuda", cuda_graph=False)
    graphed, _ = train(data, method, network, device="cuda")
    for one, other in zip(whole, graphed, strict=True):  # each epoch ends with a smaller batch, which has no graph
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-3)
        assert other["validation_loss"] == pytest.approx(one["validation_loss"], rel=1e-3)


def test_micro_batches_do_not_change_the_result(data):
    whole, _ = train(data, "diffusion", "mlp", epochs=1)
    parts, _ = train(data, "diffusion", "mlp", epochs=1, micro_batch=20)
    assert parts[-1]["train_loss"] == pytest.approx(whole[-1]["train_loss"], rel=1e-4)
    assert parts[-1]["validation_loss"] == pytest.approx(whole[-1]["validation_loss"], rel=1e-4)


@pytest.mark.parametrize("threads", [2, 3])
def test_lanes_do_not_change_the_result(data, monkeypatch, threads):
    whole, _ = train(data, "diffusion", "mlp", epochs=1, global_batch=100)
    monkeypatch.setattr(lanes, "LEAST_PARAMETERS", 1)
    monkeypatch.setattr(lanes, "LEAST_ROWS", 7)
    torch.set_num_threads(threads)
    laned, first = train(data, "diffusion", "mlp", epochs=1, global_batch=100)
    assert torch.get_num_threads() == threads
    assert laned[-1]["train_loss"] == pytest.approx(whole[-1]["train_loss"], rel=1e-4)
    assert laned[-1]["validation_loss"] == pytest.approx(whole[-1]["validation_loss"], rel=1e-4)
    _, second = train(data, "diffusion", "mlp", epochs=1, global_batch=100)
    for name, value in first.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], value, rtol=0, atol=0)


def test_a_data_set_smaller_than_the_batch_works(data):
    reported, _ = train(data, epochs=3, global_batch=4096)
    assert [row["step"] for row in reported] == [1, 2, 3]
    assert reported[-1]["train_loss"] < reported[0]["train_loss"]


def test_every_row_counts_once_an_epoch(data):
    settings = training(global_batch=100)
    rows = len(data.train)
    assert steps_per_epoch(rows, settings) == -(-rows // 100)
    assert total_steps(rows, training(global_batch=100, epochs=9, max_steps=7)) == 7
    batches = list(MemoryFeed(data.train, 100, seed=0, device="cpu").epoch(0, 0))
    assert len(batches) == steps_per_epoch(rows, settings)
    assert sum(batch.rows for batch in batches) == rows
    seen = torch.cat([batch.inputs["target"] for batch in batches])
    order = np.lexsort(seen.numpy().T)
    np.testing.assert_array_equal(
        seen.numpy()[order], data.train.target_NE.numpy()[np.lexsort(data.train.target_NE.numpy().T)]
    )


def test_a_loss_that_is_not_finite_stops_the_run(data):
    broken = Pairs(data.train.target_NE.clone(), data.train.condition_NV)
    broken.target_NE[::50] = float("nan")
    bad = type(data)(broken, data.validation, data.left_out, data.counts)
    with pytest.raises(DivergedError, match=r"not finite by step \d+ of .*learning_rate"):
        train(bad)
