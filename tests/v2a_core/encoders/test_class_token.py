"""The last block of a vision tower, for the class token alone."""

import copy

import pytest
import torch
from helpers_models import vision_tower

from v2a_core.compute.cpu.class_token import ClassTokenBlock, keep_class_token


@pytest.mark.parametrize("vision", [{}, {"layers": 1}, {"ls_init_value": 0.5}, {"final_ln_after_pool": True}])
@torch.inference_mode()
def test_the_embedding_is_the_same(vision):
    tower, images = vision_tower(**vision), torch.randn(3, 3, 64, 64)
    less = copy.deepcopy(tower)
    keep_class_token(less)
    assert isinstance(less.transformer.resblocks[-1], ClassTokenBlock)
    torch.testing.assert_close(less(images), tower(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("vision", [{"pool_type": "avg"}, {"attentional_pool": True}, {"layers": [1, 1, 1, 1]}])
@torch.inference_mode()
def test_a_tower_that_reads_all_tokens_stays_as_it_is(vision):
    tower, images = vision_tower(**vision), torch.randn(2, 3, 64, 64)
    expected = tower(images)
    keep_class_token(tower)
    assert not any(isinstance(module, ClassTokenBlock) for module in tower.modules())
    assert torch.equal(tower(images), expected)
