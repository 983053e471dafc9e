"""Networks that are built without values."""

import pytest
import torch
from torch import nn

from v2a_core.models.unset import UnsetWeights


@pytest.mark.parametrize("init", [nn.init.trunc_normal_, nn.init.kaiming_uniform_, nn.init.orthogonal_, nn.init.ones_])
def test_initialisers_end_and_draw_nothing(init):
    state = torch.get_rng_state()
    with UnsetWeights():
        layer = nn.Linear(300, 200)
        assert init(layer.weight) is layer.weight
        layer.weight.data.normal_()
        nn.Parameter(0.02 * torch.randn(5, dtype=torch.bfloat16))
        nn.Embedding(10, 4)
    assert torch.equal(torch.get_rng_state(), state)


def test_what_a_module_computes_is_right():
    with UnsetWeights():
        assert torch.equal(torch.arange(6).view(2, 3) + torch.ones(3), torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
