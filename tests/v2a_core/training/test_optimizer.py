from __future__ import annotations

import pytest
import torch
from torch import nn

from v2a_core.mappers import build
from v2a_core.mappers.config import MapperSettings
from v2a_core.training.config import OptimizerSettings
from v2a_core.training.optimizer import MovingAverage, build_optimizer, clip_gradients, learning_rate


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
    return build(
        MapperSettings.model_validate(
            {"method": {"kind": "diffusion"}, "network": {"kind": "mlp", "width": 128, "depth": 2}}
        )
    )
