from __future__ import annotations

import copy
import dataclasses
import json
import shutil

import helpers_embeddings as world
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from v2a_core.mappers import build
from v2a_core.mappers.config import MapperSettings
from v2a_core.training import lanes
from v2a_core.training.checkpoint import best_weights
from v2a_core.training.config import DataSettings, OptimizerSettings, TrainingSettings
from v2a_core.training.data import Pairs, load
from v2a_core.training.feed import MemoryFeed
from v2a_core.training.graphed import GraphedGradients
from v2a_core.training.loop import DivergedError, Trainer, steps_per_epoch, total_steps
from v2a_core.training.optimizer import MovingAverage, build_optimizer, clip_gradients, learning_rate
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

    trainer = Trainer(model, data, training(**changes), seed=3, device=device, report=report)
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
        ("regression", "transformer", 6),
        ("diffusion", "transformer", 15),
        ("diffusion", "mlp", 15),
        ("flow", "mlp", 15),
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
    kept = safetensors.torch.load_file(best_weights(last))
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


class Halves(nn.Module):
    """A matrix that is used, in the format of products and not, and one that is not."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(5, 3), nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.rand(3, 3))

    def forward(self, value):
        return self.used(value) * self.scale.sum(dim=0)


def summed_loss(model, *, value, weight):
    return (model(value).float().square().sum(dim=1) * weight).sum()


def test_lanes_add_to_the_gradients_that_are_there_and_leave_the_unused_alone(monkeypatch):
    monkeypatch.setattr(lanes, "LEAST_PARAMETERS", 1)
    monkeypatch.setattr(lanes, "LEAST_ROWS", 2)
    torch.set_num_threads(4)
    model, seen = Halves(), []

    def loss(model, *, value, weight):
        seen.append(len(value))
        return summed_loss(model, value=value, weight=weight)

    inputs = {"value": torch.randn(11, 5), "weight": torch.rand(11)}
    gradients = lanes.LanedGradients(model, loss, torch.float32)
    gradients(inputs)  # the first compares lanes with the plain way
    model.zero_grad()
    seen.clear()
    torch.testing.assert_close(gradients(inputs), loss(model, **inputs))
    assert sorted(seen) == [2, 3, 3, 3, 11]
    gradients(inputs)
    laned = model.used.weight.grad.clone()
    assert model.unused.weight.grad is None
    model.zero_grad()
    (2 * loss(model, **inputs)).backward()
    torch.testing.assert_close(laned, model.used.weight.grad)


def test_weights_that_are_rounded_once_for_all_lanes_give_the_gradients_of_autocast(monkeypatch):
    monkeypatch.setattr(lanes, "LEAST_PARAMETERS", 1)
    monkeypatch.setattr(lanes, "LEAST_ROWS", 2)
    torch.set_num_threads(2)
    model = Halves()

    def loss(model, **inputs):
        with torch.autocast("cpu", torch.bfloat16):
            return summed_loss(model, **inputs)

    inputs = {"value": torch.randn(8, 5), "weight": torch.rand(8)}
    lanes.LanedGradients(model, loss, torch.bfloat16)(inputs)
    laned = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert {gradient.dtype for gradient in laned.values()} == {torch.float32}
    model.zero_grad()
    for half in (slice(0, 4), slice(4, 8)):
        loss(model, **{name: values[half] for name, values in inputs.items()}).backward()
    for name, gradient in laned.items():
        torch.testing.assert_close(gradient, model.get_parameter(name).grad, rtol=0, atol=0)


class Normed(nn.Module):
    """Its rows depend on each other."""

    def __init__(self):
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(5), nn.Linear(5, 3)

    def forward(self, value):
        return self.linear(self.norm(value))


class Noisy(Halves):
    """It draws random numbers of its own."""

    def forward(self, value):
        return super().forward(value + torch.randn_like(value))


class Uncopied(Halves):
    """It cannot be copied, as a network that holds a lock or an open file."""

    def __deepcopy__(self, memo):
        raise TypeError("cannot pickle '_thread.lock' object")


@pytest.mark.parametrize(
    ("network", "why"), [(Normed, "numbers differ"), (Noisy, "numbers differ"), (Uncopied, "cannot pickle")]
)
def test_a_network_that_lanes_would_change_is_trained_the_plain_way(monkeypatch, caplog, network, why):
    monkeypatch.setattr(lanes, "LEAST_PARAMETERS", 1)
    monkeypatch.setattr(lanes, "LEAST_ROWS", 2)
    torch.set_num_threads(2)
    model = network()
    plain = copy.deepcopy(model) if network is not Uncopied else model
    inputs = {"value": torch.randn(8, 5), "weight": torch.rand(8)}
    gradients = lanes.LanedGradients(model, summed_loss, torch.float32)
    torch.manual_seed(5)
    losses = [gradients(inputs), gradients(inputs)]
    (said,) = caplog.messages  # once
    assert why in said
    found = model.linear.weight.grad.clone() if network is Normed else model.used.weight.grad.clone()
    model.zero_grad()
    torch.manual_seed(5)
    for loss in losses:  # the comparison has drawn no random number and left no statistics
        expected = summed_loss(plain, **inputs)
        torch.testing.assert_close(loss, expected.detach(), rtol=0, atol=0)
        expected.backward()
    wanted = plain.linear.weight.grad if network is Normed else plain.used.weight.grad
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_rows_that_count_nothing_do_not_hide_that_lanes_differ(monkeypatch, caplog):
    monkeypatch.setattr(lanes, "LEAST_PARAMETERS", 1)
    monkeypatch.setattr(lanes, "LEAST_ROWS", 2)
    torch.set_num_threads(2)
    inputs = {"value": torch.randn(8, 5), "weight": torch.zeros(8)}
    lanes.LanedGradients(Normed(), summed_loss, torch.float32)(inputs)
    assert "Normed is trained without lanes" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("planted", [False, True])
def test_a_cuda_graph_that_gives_something_else_is_not_used(caplog, planted):
    model, calls = Halves().cuda(), []

    def gradients(*, value, weight):
        calls.append(1)
        factor = len(calls) if planted else 3  # Python's, so a graph would repeat that of its recording
        loss = factor * summed_loss(model, value=value, weight=weight)
        loss.backward()
        return loss.detach()

    graphed = GraphedGradients(model, gradients, torch.float32)
    inputs = {"value": torch.randn(8, 5, device="cuda"), "weight": torch.rand(8, device="cuda")}
    losses = [float(graphed(inputs)) for _ in range(3)]
    assert ("without a CUDA graph" in caplog.text) == planted
    factors = range(len(calls) - 2, len(calls) + 1) if planted else (3, 3, 3)
    whole = float(summed_loss(model, **inputs))
    assert losses == pytest.approx([factor * whole for factor in factors], rel=1e-5)
    model.zero_grad(set_to_none=False)
    inputs = {name: values.flip(0) for name, values in inputs.items()}
    graphed(inputs)
    found = model.used.weight.grad.clone()
    model.zero_grad(set_to_none=False)
    gradients(**inputs)
    ratio = (len(calls) / (len(calls) - 1)) if planted else 1.0
    torch.testing.assert_close(model.used.weight.grad, ratio * found)


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_gradients_are_scaled_to_the_limit_only_where_they_are_larger(limit):
    model = nn.Linear(5, 3)
    model(torch.ones(2, 5)).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    whole = torch.cat([gradient.flatten() for gradient in expected]).norm()
    torch.testing.assert_close(clip_gradients(model, limit), whole)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient * min(1.0, limit / whole))


def test_a_gradient_that_is_not_finite_has_a_norm_that_is_not():
    model = nn.Linear(5, 3)
    model(torch.full((2, 5), torch.inf)).sum().backward()
    assert not torch.isfinite(clip_gradients(model, 0.5))


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
    seen = torch.cat([batch.target_BE for batch in batches])
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


def test_weight_decay_spares_vectors():
    optimizer = build_optimizer(nn_model(), OptimizerSettings())
    matrices, vectors = optimizer.param_groups
    assert matrices["weight_decay"] == pytest.approx(6.02e-2)
    assert vectors["weight_decay"] == 0
    assert {parameter.ndim for parameter in vectors["params"]} == {1}
    assert min(parameter.ndim for parameter in matrices["params"]) == 2


def test_learning_rate_warms_up_and_decays():
    settings = OptimizerSettings(learning_rate=1.0, warmup_steps=9, decay="cosine")
    rates = [learning_rate(step, 100, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.01
    assert learning_rate(99, 100, OptimizerSettings(learning_rate=1.0)) == 1.0


def test_moving_average_weighs_the_start_and_forgets_it():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = MovingAverage(model, 0.9999)
    nn.init.ones_(model.weight)
    average.update(model, 0)
    assert average.model.weight.item() == pytest.approx(0.9)
    for step in range(1, 100):
        average.update(model, step)
    assert 0.99 < average.model.weight.item() < 1
    assert model.weight.item() == 1


def nn_model():
    return build(MapperSettings.model_validate({"method": {"kind": "diffusion"}, "network": SMALL["mlp"]}))
