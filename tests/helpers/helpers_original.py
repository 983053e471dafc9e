"""AudioLDM's original checkpoint: its networks written anew in plain torch, under the names of the authors' code.

These are the oracles of the checkpoint's path: what they compute with random weights, ours must compute.

Shapes: B items, C channels, H and W of a latent or log-mel, L places of it, D numbers of a condition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

RATES, KERNELS = (5, 4, 2, 2, 2), (16, 16, 8, 4, 4)


class ResBlock(nn.Module):
    def __init__(self, channels: int, out: int, embedding: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, out))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, out), nn.SiLU(), nn.Dropout(0), nn.Conv2d(out, out, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        hidden = self.in_layers(x) + self.emb_layers(emb)[..., None, None]
        return self.skip_connection(x) + self.out_layers(hidden)


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.to_out = nn.Sequential(nn.Linear(dim, dim), nn.Dropout(0))

    def forward(self, x_BLC: Tensor) -> Tensor:
        split = [to(x_BLC).unflatten(-1, (self.heads, -1)) for to in (self.to_q, self.to_k, self.to_v)]
        q, k, v = split
        weights = (torch.einsum("bihd,bjhd->bhij", q, k) * q.shape[-1] ** -0.5).softmax(-1)
        return self.to_out(torch.einsum("bhij,bjhd->bihd", weights, v).flatten(2))


class Gated(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, dim * 8)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * functional.gelu(gate)


class Forward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(Gated(dim), nn.Dropout(0), nn.Linear(dim * 4, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Block(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attn1, self.attn2, self.ff = Attention(dim, heads), Attention(dim, heads), Forward(dim)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attn1(self.norm1(x)) + x
        x = self.attn2(self.norm2(x)) + x
        return self.ff(self.norm3(x)) + x


class SpatialTransformer(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, dim, eps=1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(dim, dim, 1), nn.Conv2d(dim, dim, 1)
        self.transformer_blocks = nn.ModuleList([Block(dim, heads)])

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.proj_in(self.norm(x))
        flat = hidden.flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            flat = block(flat)
        return self.proj_out(flat.transpose(1, 2).reshape(hidden.shape)) + x


class Down(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(dim, dim, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Up(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2, mode="nearest"))


class Level(nn.Sequential):
    def forward(self, x: Tensor, emb: Tensor) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = layer(x, emb) if isinstance(layer, ResBlock) else layer(x)
        return x


class OriginalUNet(nn.Module):
    """The UNet of `openaimodel.py` as AudioLDM sets it up; attention at all levels but the first."""

    def __init__(self, width: int, head_channels: int, mult: Sequence[int] = (1, 2, 3, 5), dim: int = 512) -> None:
        super().__init__()
        self.width = width
        embedding = 4 * width
        self.time_embed = nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.film_emb = nn.Linear(dim, embedding)
        embedding *= 2
        self.input_blocks = nn.ModuleList([Level(nn.Conv2d(8, width, 3, padding=1))])
        skips, channels = [width], width
        for level, factor in enumerate(mult):
            for _ in range(2):
                layers: list[nn.Module] = [ResBlock(channels, factor * width, embedding)]
                channels = factor * width
                layers += [SpatialTransformer(channels, channels // head_channels)] if level else []
                self.input_blocks.append(Level(*layers))
                skips.append(channels)
            if level < len(mult) - 1:
                self.input_blocks.append(Level(Down(channels)))
                skips.append(channels)
        middle = SpatialTransformer(channels, channels // head_channels)
        self.middle_block = Level(
            ResBlock(channels, channels, embedding), middle, ResBlock(channels, channels, embedding)
        )
        self.output_blocks = nn.ModuleList()
        for level, factor in reversed(list(enumerate(mult))):
            for index in range(3):
                layers = [ResBlock(channels + skips.pop(), factor * width, embedding)]
                channels = factor * width
                layers += [SpatialTransformer(channels, channels // head_channels)] if level else []
                layers += [Up(channels)] if level and index == 2 else []
                self.output_blocks.append(Level(*layers))
        self.out = nn.Sequential(nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(width, 8, 3, padding=1))

    def forward(self, x: Tensor, time_B: Tensor, y_BD: Tensor) -> Tensor:
        half = self.width // 2
        frequencies = torch.exp(-math.log(10_000) * torch.arange(half) / half)
        angles = time_B[:, None].float() * frequencies
        emb = torch.cat([self.time_embed(torch.cat([angles.cos(), angles.sin()], -1)), self.film_emb(y_BD)], -1)
        kept = []
        for block in self.input_blocks:
            x = block(x, emb)
            kept.append(x)
        x = self.middle_block(x, emb)
        for block in self.output_blocks:
            x = block(torch.cat([x, kept.pop()], 1), emb)
        return self.out(x)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class VaeResnet(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(channels), nn.Conv2d(channels, out, 3, padding=1)
        self.norm2, self.conv2 = _norm(out), nn.Conv2d(out, out, 3, padding=1)
        if channels != out:
            self.nin_shortcut = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(functional.silu(self.norm1(x)))
        hidden = self.conv2(functional.silu(self.norm2(hidden)))
        return hidden + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class VaeAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(x)
        q, k, v = (layer(hidden).flatten(2) for layer in (self.q, self.k, self.v))
        weights = (torch.einsum("bci,bcj->bij", q, k) * q.shape[1] ** -0.5).softmax(-1)
        return x + self.proj_out(torch.einsum("bij,bcj->bci", weights, v).reshape(x.shape))


class Half(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, (0, 1, 0, 1)))


def _middle(channels: int) -> nn.Module:
    mid = nn.Module()
    mid.block_1, mid.attn_1 = VaeResnet(channels, channels), VaeAttention(channels)
    mid.block_2 = VaeResnet(channels, channels)
    return mid


class Encoder(nn.Module):
    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(1, widths[0], 3, padding=1)
        self.down, channels = nn.ModuleList(), widths[0]
        for level, width in enumerate(widths):
            down = nn.Module()
            down.block = nn.ModuleList([VaeResnet(channels, width), VaeResnet(width, width)])
            channels = width
            if level < len(widths) - 1:
                down.downsample = Half(width)
            self.down.append(down)
        self.mid = _middle(channels)
        self.norm_out, self.conv_out = _norm(channels), nn.Conv2d(channels, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for down in self.down:
            for block in down.block:
                x = block(x)
            x = down.downsample(x) if hasattr(down, "downsample") else x
        x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(x)))
        return self.conv_out(functional.silu(self.norm_out(x)))


class Decoder(nn.Module):
    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        channels = widths[-1]
        self.conv_in, self.mid = nn.Conv2d(8, channels, 3, padding=1), _middle(channels)
        ups = []
        for level, width in reversed(list(enumerate(widths))):
            up = nn.Module()
            up.block = nn.ModuleList([VaeResnet(channels, width), VaeResnet(width, width), VaeResnet(width, width)])
            channels = width
            if level:
                up.upsample = Up(width)
            ups.insert(0, up)
        self.up = nn.ModuleList(ups)
        self.norm_out, self.conv_out = _norm(channels), nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(x)))
        for up in reversed(self.up):
            for block in up.block:
                x = block(x)
            x = up.upsample(x) if hasattr(up, "upsample") else x
        return self.conv_out(functional.silu(self.norm_out(x)))


class VocoderResBlock(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()

        def layer(dilation: int) -> nn.Conv1d:
            return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)

        self.convs1 = nn.ModuleList([layer(dilation) for dilation in (1, 3, 5)])
        self.convs2 = nn.ModuleList([layer(1) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(functional.leaky_relu(first(functional.leaky_relu(x, 0.1)), 0.1))
        return x


class HifiGan(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_pre = nn.Conv1d(64, width, 7, padding=3)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(RATES, KERNELS, strict=True):
            up = nn.ConvTranspose1d(width, width // 2, kernel, rate, padding=(kernel - rate) // 2)
            self.ups.append(up)
            width //= 2
            self.resblocks.extend([VocoderResBlock(width, size) for size in (3, 7, 11)])
        self.conv_post = nn.Conv1d(width, 1, 7, padding=3)

    def forward(self, mel_BMT: Tensor) -> Tensor:
        x = self.conv_pre(mel_BMT)
        for index, up in enumerate(self.ups):
            x = up(functional.leaky_relu(x, 0.1))
            x = sum(block(x) for block in self.resblocks[3 * index : 3 * index + 3]) / 3
        return self.conv_post(functional.leaky_relu(x)).tanh()[:, 0]


class FirstStage(nn.Module):
    def __init__(self, widths: Sequence[int], vocoder_width: int) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(widths), Decoder(widths)
        self.quant_conv, self.post_quant_conv = nn.Conv2d(16, 16, 1), nn.Conv2d(8, 8, 1)
        self.vocoder = HifiGan(vocoder_width)

    def moments(self, mel_B1TM: Tensor) -> Tensor:
        return self.quant_conv(self.encoder(mel_B1TM))

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(latents))


class OriginalText(nn.Module):
    """CLAP's text tower as the authors have it: transformers' RoBERTa and a projection of two layers."""

    def __init__(self, **sizes: Any) -> None:
        super().__init__()
        from transformers import RobertaConfig, RobertaModel

        base = {"type_vocab_size": 1, "max_position_embeddings": 514, "layer_norm_eps": 1e-5, "pad_token_id": 1}
        self.text_branch = RobertaModel(RobertaConfig(**{**base, **sizes}))
        width = self.text_branch.config.hidden_size
        self.text_transform = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512))
        self.text_projection = nn.Sequential(nn.Linear(width, 512), nn.ReLU(), nn.Linear(512, 512))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return self.text_projection(self.text_branch(input_ids=tokens, attention_mask=mask).pooler_output)


class Original:
    """An AudioLDM of the authors' code with random weights; `save` writes its checkpoint.

    Args:
        width: Channels of the UNet's first level: 128 for -s, 192 for -m, 256 for -l.
        head_channels: Channels of an attention head.
        small: Everything else narrow, for quick tests.
    """

    def __init__(self, width: int, head_channels: int, *, small: bool = True) -> None:
        torch.manual_seed(0)
        self.unet = OriginalUNet(width, head_channels).eval()
        self.first_stage = FirstStage((32, 64, 64) if small else (128, 256, 512), 64 if small else 1024).eval()
        narrow = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 96}
        self.text = OriginalText(**({**narrow, "vocab_size": 320} if small else {"vocab_size": 50_265})).eval()
        self.scale_factor = 0.9227914214134216
        for network in (self.unet, self.first_stage, self.text):
            network.requires_grad_(False)

    def state_dict(self, *, ema: bool = True) -> dict[str, Tensor]:
        """All tensors of the checkpoint; the raw weights are twice the averaged, so that one sees which were taken."""
        raw = {name: 2 * tensor if ema else tensor for name, tensor in self.unet.state_dict().items()}
        tensors = {f"model.diffusion_model.{name}": tensor for name, tensor in raw.items()}
        if ema:
            averaged = self.unet.state_dict().items()
            tensors |= {f"model_ema.diffusion_model{name.replace('.', '')}": tensor for name, tensor in averaged}
            tensors |= {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(9)}
        tensors |= {f"first_stage_model.{name}": tensor for name, tensor in self.first_stage.state_dict().items()}
        tensors |= {f"cond_stage_model.model.{name}": tensor for name, tensor in self.text.state_dict().items()}
        tensors["cond_stage_model.model.text_branch.embeddings.position_ids"] = torch.arange(514)[None]
        tensors["cond_stage_model.model.logit_scale_a"] = torch.tensor(2.6)
        betas = torch.linspace(0.0015**0.5, 0.0195**0.5, 1000, dtype=torch.float64) ** 2
        return {**tensors, "scale_factor": torch.tensor(self.scale_factor), "betas": betas.float()}

    def save(self, path: Path, *, ema: bool = True, more: dict[str, Tensor] | None = None) -> Path:
        """Write it as Lightning does, with the numbers of the training beside the weights."""
        tensors = {**self.state_dict(ema=ema), **(more or {})}
        torch.save({"epoch": 3, "global_step": 70, "lr_schedulers": [], "state_dict": tensors}, path)
        return path
