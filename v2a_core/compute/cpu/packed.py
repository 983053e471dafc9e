"""Layers on a CPU that computes in bfloat16: weights laid out once, activations and biases part of the product.

A layer of torch brings its weights into the layout of the processor's instructions in each call, and its activation
is another pass through memory.
"""

from __future__ import annotations

import copy
import logging
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from v2a_core.compute.agreement import UNFIT, disagreement, example
from v2a_core.compute.precision import cpu_has_bf16

logger = logging.getLogger(__name__)

# Of the network. In a smaller one the layout is no matter.
LEAST_PARAMETERS = 5_000_000
# open_clip's and HTSAT's, whose code calls its layers and nothing else; others' may read the weights themselves.
BLOCKS = ("ResidualAttentionBlock", "ClassTokenBlock", "SwinTransformerBlock")
_QUICK_GELU_SCALE = 1.702

# What torch.compile makes of linear layers, too; torch has no other door to them.
_ops: Any = torch.ops.mkldnn


def pack(network: nn.Module, dtype: torch.dtype, device: str) -> None:
    """Replace the layers of the blocks of a large network, where that makes it faster; for inference only.

    A block of each kind is compared with what replaces it; where they differ, all of the kind stay as they are, and a
    warning says why.

    Args:
        network: With its weights, in its number format, in eval mode.
        dtype: That format.
        device: Where it runs.
    """
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if device == "cpu" and dtype == torch.bfloat16 and parameters >= LEAST_PARAMETERS and can_pack():
        blocks = [module for module in network.modules() if type(module).__name__ in BLOCKS]
        for kind in dict.fromkeys(_kind(block) for block in blocks):
            _pack_alike([block for block in blocks if _kind(block) == kind])
        for name, layer in network.named_children():
            if type(layer) is nn.Conv2d and _is_patches(layer):
                patches, (high, wide) = PackedPatches(layer), layer.kernel_size
                why = disagreement(layer, patches, example((1, layer.in_channels, 2 * high, 2 * wide), dtype))
                if not _stays("a convolution of patches", why):
                    setattr(network, name, patches)


def _kind(block: nn.Module) -> tuple[type[nn.Module], bool]:
    """What one code computes: a Swin block that shifts its windows has a mask besides."""
    return type(block), getattr(block, "attn_mask", None) is not None


def _pack_alike(blocks: list[nn.Module]) -> None:
    """Pack the layers of blocks of one kind, if the one with the fewest tokens gives the same with packed ones."""
    least = min(blocks, key=lambda block: math.prod(getattr(block, "input_resolution", ())))
    if not _stays(f"the blocks {type(least).__name__}", _why_not(least)):
        for block in blocks:
            pack_layers(block)


def _stays(what: str, why: str | None) -> bool:
    """Whether something stays as it is; then it is said."""
    if why is not None:
        logger.warning("%s stay as torch has them, and are slower on this processor: packed, %s", what, why)
    return why is not None


def _why_not(block: nn.Module) -> str | None:
    """Why a block cannot be packed; None when it computes the same."""
    try:
        inputs, packed = _example(block), copy.deepcopy(block)
        pack_layers(packed)
    except UNFIT as error:
        return f"{type(error).__name__}: {error}"
    return disagreement(lambda tokens: _first(block(tokens)), lambda tokens: _first(packed(tokens)), inputs)


def _example(block: Any) -> Tensor:
    """Tokens that a block takes: of HTSAT's, the whole image; of open_clip's, some.

    Small ones: a block normalises what it takes and adds the outcome to it, which is what can differ.
    """
    if type(block).__name__ == "SwinTransformerBlock":
        return example((1, math.prod(block.input_resolution), block.dim), torch.bfloat16) / 32
    return example((2, 8, block.ln_1.normalized_shape[-1]), torch.bfloat16) / 32


def _first(outputs: Any) -> Tensor:
    """A block's tokens: HTSAT's gives weights beside them, which nobody reads."""
    tokens: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return tokens


def can_pack() -> bool:
    """Whether this processor and this torch have what it takes."""
    return cpu_has_bf16() and all(hasattr(_ops, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))


def pack_layers(network: nn.Module) -> None:
    """Replace the linear layers, in bfloat16, and the attentions, each to one sequence."""
    for module in list(network.modules()):
        _pack_mlp(module)
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, PackedLinear(child.weight, child.bias))
            elif type(child) is nn.MultiheadAttention and _is_plain(child):
                setattr(module, name, PackedAttention(child))
            elif type(child).__name__ == "WindowAttention":
                mask: Any = module.attn_mask
                setattr(module, name, PackedWindowAttention(child, mask))


class PackedLinear(nn.Module):
    """A linear layer, and the activation behind it if there is one: `none`, `gelu` or `swish`."""

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: str = "none") -> None:
        super().__init__()
        self._packed = _ops._reorder_linear_weight(weight.detach().contiguous(), None)
        self._bias = None if bias is None else bias.detach()
        self._activation = activation

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., features in) -> (..., features out)."""
        # The last argument chooses between GELU's two formulas, by name: this is the exact one.
        outputs: Tensor = _ops._linear_pointwise(inputs, self._packed, self._bias, self._activation, [], "none")
        return outputs


class PackedAttention(nn.Module):
    """`nn.MultiheadAttention` of tokens, or the first of them, to themselves, without a mask."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self._heads, width = attention.num_heads, attention.embed_dim
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        self._queries = PackedLinear(weight[:width], None if bias is None else bias[:width])
        self._pairs = PackedLinear(weight[width:], None if bias is None else bias[width:])
        self._out = PackedLinear(attention.out_proj.weight, attention.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, need_weights: bool, attn_mask: Tensor | None
    ) -> tuple[Tensor, None]:
        """(items, queries, width) and (items, tokens, width) -> (items, queries, width), and no weights.

        Raises:
            ValueError: For what this attention is not for.
        """
        if key is not value or need_weights or attn_mask is not None:
            raise ValueError("a packed attention is to one sequence, without a mask, and tells no weights")
        (queries,) = _by_head(self._queries(query), 1, self._heads)
        keys, values = _by_head(self._pairs(key), 2, self._heads)
        heads = scaled_dot_product_attention(queries, keys, values)
        return self._out(heads.transpose(1, 2).flatten(2)), None


class PackedWindowAttention(nn.Module):
    """HTSAT's `WindowAttention`: windows of tokens, with a bias for each distance.

    Args:
        attention: What it replaces.
        mask: Of its block, (windows, tokens, tokens); None where windows are not shifted.
    """

    def __init__(self, attention: Any, mask: Tensor | None) -> None:
        super().__init__()
        self._heads, self._scale = attention.num_heads, attention.scale
        self._in = PackedLinear(attention.qkv.weight, attention.qkv.bias)
        self._out = PackedLinear(attention.proj.weight, attention.proj.bias)
        bias_LLH = attention.relative_position_bias_table[attention.relative_position_index]
        bias = bias_LLH.permute(2, 0, 1)[None] + (0.0 if mask is None else mask[:, None])
        self._bias = bias.detach().to(attention.qkv.weight.dtype).contiguous()  # (windows or 1, heads, tokens, tokens)

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(images x windows, tokens, width) -> the same, and nothing in the place of weights.

        HTSAT averages the weights of all blocks of a stage, for pictures: that costs as much as its products.
        """
        windows = len(self._bias)
        images = len(inputs) // windows
        bias = self._bias.expand(images, -1, -1, -1) if windows == 1 else self._bias.repeat(images, 1, 1, 1)
        queries, keys, values = _by_head(self._in(inputs), 3, self._heads)
        heads = scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=self._scale)
        return self._out(heads.transpose(1, 2).flatten(2)), inputs.new_zeros(1)


class PackedPatches(nn.Module):
    """A convolution whose patches do not overlap: one product of matrices.

    Args:
        layer: What it replaces.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self._size = layer.kernel_size
        self._linear = PackedLinear(layer.weight.flatten(1), layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(items, channels, height, width) -> (items, features, rows, columns)."""
        (items, channels, height, width), (high, wide) = images.shape, self._size
        rows, columns = height // high, width // wide
        cut = images[:, :, : rows * high, : columns * wide].reshape(items, channels, rows, high, columns, wide)
        patches = cut.permute(0, 2, 4, 1, 3, 5).reshape(items, rows * columns, channels * high * wide)
        outputs: Tensor = self._linear(patches)
        return outputs.transpose(1, 2).reshape(items, -1, rows, columns)


def _by_head(inputs: Tensor, parts: int, heads: int) -> Tensor:
    """(items, tokens, parts x heads x size) -> (parts, items, heads, tokens, size)."""
    items, tokens, width = inputs.shape
    return inputs.view(items, tokens, parts, heads, width // parts // heads).permute(2, 0, 3, 1, 4)


def _is_plain(attention: nn.MultiheadAttention) -> bool:
    return attention.batch_first and attention.in_proj_weight is not None and attention.bias_k is None


def _is_patches(layer: nn.Conv2d) -> bool:
    plain = layer.groups == 1 and layer.padding == (0, 0) and layer.dilation == (1, 1)
    return plain and layer.stride == layer.kernel_size


def _pack_mlp(module: nn.Module) -> None:
    """Make the activation between two linear layers part of the first: open_clip's and HTSAT's names."""
    layers = dict(module.named_children())
    for first, between, second in (("c_fc", "gelu", "c_proj"), ("fc1", "act", "fc2")):
        before, activation, after = (layers.get(name) for name in (first, between, second))
        if type(before) is not nn.Linear or type(after) is not nn.Linear:
            continue
        if type(activation) is nn.GELU and activation.approximate == "none":
            packed = PackedLinear(before.weight, before.bias, "gelu")
        elif type(activation).__name__ == "QuickGELU":
            # x sigmoid(s x) is swish(s x) / s.
            scale = _QUICK_GELU_SCALE
            packed = PackedLinear(before.weight * scale, None if before.bias is None else before.bias * scale, "swish")
            after.weight.data /= scale
        else:
            continue
        setattr(module, first, packed)
        setattr(module, between, nn.Identity())
