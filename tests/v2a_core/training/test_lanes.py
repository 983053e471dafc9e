"""Gradients of several lanes, and of a CUDA graph: those of the plain way, or the plain way itself."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from v2a_core.training import lanes
from v2a_core.training.graphed import GraphedGradients


@pytest.fixture(autouse=True)
def one_thread(threads_as_before):
    torch.set_num_threads(1)


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
