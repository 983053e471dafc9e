"""The last block of a vision tower, for the class token alone."""

import copy
import logging

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


def changed(kind, forward):
    """A class of the same name that computes something else, as another version of open_clip might."""
    return type(kind.__name__, (kind,), {"forward": forward})


def adds_more(block):
    return lambda self, tokens, attn_mask=None: block.forward(self, tokens, attn_mask=attn_mask) + tokens[:, 1:2]


def reads_all_tokens(tower):
    def forward(self, images):
        seen = []
        hook = self.transformer.register_forward_hook(lambda _, inputs, tokens: seen.append(tokens))
        embedding = tower.forward(self, images)
        hook.remove()
        return embedding + seen[0].mean()

    return forward


def takes_more(block):
    return lambda self, tokens, attn_mask=None, *, positions=None: block.forward(self, tokens) + self.missing


@pytest.mark.parametrize("change", ["block", "tower", "raises"])
@torch.inference_mode()
def test_a_tower_that_computes_something_else_stays_as_it_is_and_it_is_said(change, caplog):
    tower, images = vision_tower(), torch.randn(2, 3, 64, 64)
    block = tower.transformer.resblocks[-1]
    if change == "tower":
        tower.__class__ = changed(type(tower), reads_all_tokens(type(tower)))
    else:
        block.__class__ = changed(type(block), (adds_more if change == "block" else takes_more)(type(block)))
    with caplog.at_level(logging.WARNING):
        keep_class_token(tower)
    assert tower.transformer.resblocks[-1] is block
    assert len(tower.transformer.resblocks) == 3
    assert len(caplog.messages) == 1
    assert ("missing" if change == "raises" else "differ by") in caplog.text
    if change != "raises":
        assert torch.isfinite(tower(images)).all()


def test_looking_changes_no_random_number_and_no_mode():
    tower = vision_tower().train()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    keep_class_token(tower)
    assert torch.equal(torch.rand(4), expected)
    assert tower.training
    assert tower.transformer.resblocks[-1].training
