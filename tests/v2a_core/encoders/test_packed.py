"""Packed layers compute what the layers they replace compute."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from helpers_models import vision_tower
from torch import nn
from torch.nn.functional import cosine_similarity

from v2a_core.compute.cpu import packed
from v2a_core.compute.cpu.class_token import keep_class_token
from v2a_core.encoders.clap_config import ClapConfig, Htsat
from v2a_core.encoders.clap_tower import ClapAudioTower

pytestmark = pytest.mark.skipif(not packed.can_pack(), reason="no bfloat16 in this processor")


@pytest.mark.parametrize("quick_gelu", [True, False])
@torch.inference_mode()
def test_a_vision_tower_is_the_same_packed(monkeypatch, quick_gelu):
    monkeypatch.setattr(packed, "LEAST_PARAMETERS", 0)
    tower = vision_tower(quick_gelu)
    images = torch.randn(5, 3, 64, 64)
    exact = tower(images)
    plain = copy.deepcopy(tower).bfloat16()
    changed = copy.deepcopy(plain)
    keep_class_token(changed)
    packed.pack(changed, torch.bfloat16, "cpu")
    assert not any(type(module) in (nn.Linear, nn.MultiheadAttention, nn.Conv2d) for module in changed.modules())
    found = changed(images.bfloat16()).float()
    assert cosine_similarity(found, plain(images.bfloat16()).float()).min() > 0.9995
    assert cosine_similarity(found, exact).min() > 0.9995


@torch.inference_mode()
def test_an_audio_tower_is_the_same_packed():
    torch.manual_seed(0)
    tower = ClapAudioTower(ClapConfig(htsat=Htsat(embed_dim=32, depths=(2, 2), num_heads=(2, 4)))).eval()
    for name, table in tower.named_parameters():
        if "relative_position_bias_table" in name:
            table.normal_(std=1.0)  # large enough to be missed
    waveforms = 0.1 * torch.randn(3, 480_000)
    exact = tower(waveforms)
    tower.to_precision(torch.bfloat16)
    plain = tower(waveforms).float()
    packed.pack_layers(tower.audio_branch)
    assert sum(type(module).__name__ == "PackedWindowAttention" for module in tower.modules()) == 4
    found = tower(waveforms).float()
    assert cosine_similarity(found, plain).min() > 0.9995
    assert cosine_similarity(found, exact).min() > 0.9995


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_patches_that_do_not_fit_are_cut_as_by_a_convolution(bias):
    layer = nn.Conv2d(3, 24, (4, 6), (4, 6), bias=bias).bfloat16()
    images = torch.randn(2, 3, 17, 20).bfloat16()
    found = packed.PackedPatches(layer)(images)
    np.testing.assert_allclose(found.float(), layer(images).float(), atol=0.05)


class Mlp(nn.Module):
    """As HTSAT has it."""

    def __init__(self, act: nn.Module, bias: bool = True) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(48, 96, bias), act, nn.Linear(96, 24, bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.fc2(self.act(self.fc1(inputs)))
        return outputs


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("act", [nn.GELU(), nn.GELU(approximate="tanh"), nn.ReLU()])
@torch.inference_mode()
def test_an_activation_that_is_part_of_a_layer_is_the_same(act, bias):
    network = Mlp(act, bias).bfloat16()
    inputs = torch.randn(2, 7, 48).bfloat16()
    expected = network(inputs).float()
    packed.pack_layers(network)
    assert isinstance(network.act, nn.Identity) == (isinstance(act, nn.GELU) and act.approximate == "none")
    np.testing.assert_allclose(network(inputs).float(), expected, atol=0.02)


class ReadsItsWeights(nn.Module):
    """As some of timm's attentions do."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 8)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(inputs, self.qkv.weight)


@torch.inference_mode()
def test_what_is_no_known_block_is_left_alone(monkeypatch):
    monkeypatch.setattr(packed, "LEAST_PARAMETERS", 0)
    pooler = nn.MultiheadAttention(8, 2, batch_first=True).bfloat16()  # CoCa's: of queries with tokens
    network = nn.ModuleDict({"pooler": pooler, "other": ReadsItsWeights()}).bfloat16()
    queries, tokens = torch.randn(1, 2, 8).bfloat16(), torch.randn(1, 5, 8).bfloat16()
    expected = pooler(queries, tokens, tokens, need_weights=False)[0], network["other"](tokens)
    packed.pack(network, torch.bfloat16, "cpu")
    found = network["pooler"](queries, tokens, tokens, need_weights=False)[0], network["other"](tokens)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@torch.inference_mode()
def test_small_networks_other_formats_and_devices_are_left_alone(monkeypatch):
    for parameters, dtype, device in (
        (10**9, torch.bfloat16, "cpu"),
        (0, torch.float32, "cpu"),
        (0, torch.bfloat16, "cuda"),
    ):
        monkeypatch.setattr(packed, "LEAST_PARAMETERS", parameters)
        tower = vision_tower().to(dtype)
        packed.pack(tower, dtype, device)
        assert not any(isinstance(module, packed.PackedLinear) for module in tower.modules())
    monkeypatch.setattr(packed, "LEAST_PARAMETERS", 0)
    tower = vision_tower().bfloat16()
    packed.pack(tower, torch.bfloat16, "cpu")
    assert any(isinstance(module, packed.PackedLinear) for module in tower.modules())


@torch.inference_mode()
def test_both_towers_are_packed_without_a_word(monkeypatch, caplog):
    monkeypatch.setattr(packed, "LEAST_PARAMETERS", 0)
    tower = ClapAudioTower(ClapConfig(htsat=Htsat(embed_dim=32, depths=(2, 2), num_heads=(2, 4)))).eval()
    tower.to_precision(torch.bfloat16)
    packed.pack(tower.audio_branch, torch.bfloat16, "cpu")
    assert sum(type(module).__name__ == "PackedWindowAttention" for module in tower.modules()) == 4
    packed.pack(vision_tower().bfloat16(), torch.bfloat16, "cpu")
    assert caplog.messages == []


class QuickGELU(nn.Module):
    """Named as open_clip's, and another function."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * torch.sigmoid(1.0 * inputs)


def another_activation(blocks):
    for block in blocks:
        block.mlp.gelu = QuickGELU()


def reads_its_weights(blocks):
    kind = type(blocks[0])

    def forward(self, tokens, attn_mask=None):
        return kind.forward(self, tokens, attn_mask=attn_mask) + self.mlp.c_fc.weight.mean()

    changed = type(kind.__name__, (kind,), {"forward": forward})
    for block in blocks:
        block.__class__ = changed


@pytest.mark.parametrize("change", [another_activation, reads_its_weights])
@torch.inference_mode()
def test_blocks_that_compute_something_else_stay_as_they_are_and_it_is_said(monkeypatch, caplog, change):
    monkeypatch.setattr(packed, "LEAST_PARAMETERS", 0)
    tower, images = vision_tower(quick_gelu=True).bfloat16(), torch.randn(2, 3, 64, 64).bfloat16()
    change(tower.transformer.resblocks)
    expected, conv = tower(images), tower.conv1
    packed.pack(tower, torch.bfloat16, "cpu")
    assert not any(isinstance(module, packed.PackedLinear) for module in tower.transformer.modules())
    assert [message.partition(" stay ")[0] for message in caplog.messages] == ["the blocks ResidualAttentionBlock"]
    tower.conv1 = conv  # that the patches are packed is right
    assert torch.equal(tower(images), expected)
