"""AudioLDM's original checkpoint, one file, as its authors published it, under the names of the classes that we run.

The file is a Lightning checkpoint of the authors' latent diffusion. What of it is read, and what becomes of the names:

    model.diffusion_model.*                  UNet as trained ("raw")          -> diffusers' UNet2DConditionModel
    model_ema.diffusion_model*               the same, averaged ("ema"): the raw names without their dots
    first_stage_model.{encoder,decoder,...}  VAE                              -> diffusers' AutoencoderKL
    first_stage_model.vocoder.*              HiFi-GAN                         -> transformers' SpeechT5HifiGan
    cond_stage_model.model.text_*            CLAP's text tower                -> ClapTextModelWithProjection
    cond_stage_model.model.audio_*           CLAP's audio tower: `encoders.clap_checkpoint` reads it
    scale_factor                             what latents are multiplied by   -> scaling_factor of the VAE

Sizes are read from the shapes. What shapes do not tell (heads, strides of the vocoder, the noise schedule) is that of
the authors' code, which is the same for -s, -m and -l but for the channels of a head.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from v2a_core.generators.audioldm.layout import PartName, heads_a_level
from v2a_core.models.checkpoints import load_tensors
from v2a_core.models.errors import ModelError

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

SAMPLE_RATE = 16_000
_RAW, _EMA = "model.diffusion_model.", "model_ema.diffusion_model"
_VAE, _VOCODER = "first_stage_model.", "first_stage_model.vocoder."
_TEXT = "cond_stage_model.model.text_"

# The authors' -l alone has a UNet of this width, and heads of twice the channels.
_WIDTH_L, _HEAD_CHANNELS, _HEAD_CHANNELS_L = 256, 32, 64

_UNET_NAMES = (
    (r"^time_embed\.0\.", "time_embedding.linear_1."),
    (r"^time_embed\.2\.", "time_embedding.linear_2."),
    (r"^film_emb\.", "class_embedding."),
    (r"^input_blocks\.0\.0\.", "conv_in."),
    (r"^out\.0\.", "conv_norm_out."),
    (r"^out\.2\.", "conv_out."),
    (r"^middle_block\.0\.", "mid_block.resnets.0."),
    (r"^middle_block\.1\.", "mid_block.attentions.0."),
    (r"^middle_block\.2\.", "mid_block.resnets.1."),
    (r"\.in_layers\.0\.", ".norm1."),
    (r"\.in_layers\.2\.", ".conv1."),
    (r"\.emb_layers\.1\.", ".time_emb_proj."),
    (r"\.out_layers\.0\.", ".norm2."),
    (r"\.out_layers\.3\.", ".conv2."),
    (r"\.skip_connection\.", ".conv_shortcut."),
)
_VAE_NAMES = (
    (r"\.norm_out\.", ".conv_norm_out."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
)
_TEXT_NAMES = (
    (r"^branch\.", "text_model."),
    (r"^projection\.0\.", "text_projection.linear1."),
    (r"^projection\.2\.", "text_projection.linear2."),
)


@dataclass(frozen=True)
class OriginalCheckpoint:
    """A generator's parts out of the original checkpoint.

    Attributes:
        path: The checkpoint.
        tokenizer: Folder with RoBERTa's tokenizer.json: the checkpoint has none.
        weights: Which weights of the UNet: `ema`, which the authors sample with, or `raw`.
        head_channels: Channels of an attention head; None: as in the authors' code.
    """

    path: Path
    tokenizer: Path
    weights: Literal["ema", "raw"] = "ema"
    head_channels: int | None = None

    @property
    def authors_head_channels(self) -> int:
        """Channels of an attention head in the authors' code for a UNet of this width."""
        return _HEAD_CHANNELS_L if self._widths[0] == _WIDTH_L else _HEAD_CHANNELS

    def place(self, part: PartName) -> Path:
        """Where a part is, for messages."""
        return self.path

    def tensors(self, part: PartName) -> Tensors:
        """The weights of a part, by the names of the class that we run; their numbers stay in the file until used.

        Raises:
            ModelError: When the checkpoint holds no such part.
        """
        found: Tensors = getattr(self, f"_{part}")
        return dict(found)

    def config(self, part: PartName) -> dict[str, Any]:
        """What the class of a part is built with."""
        made: dict[str, Any] = getattr(self, f"_{part}_config")()
        return made

    def scheduler_config(self) -> dict[str, Any]:
        """The authors' noise schedule, in diffusers' words: their "linear" is linear in the root of beta."""
        betas = self._all.get("betas")
        steps = 1000 if betas is None else len(betas)
        first, last = (0.0015, 0.0195) if betas is None else (float(betas[0]), float(betas[-1]))
        return {
            "num_train_timesteps": steps,
            "beta_schedule": "scaled_linear",
            "beta_start": round(first, 7),
            "beta_end": round(last, 7),
            "clip_sample": False,
            "set_alpha_to_one": False,
            "steps_offset": 1,
            "prediction_type": "epsilon",
        }

    @functools.cached_property
    def _all(self) -> Tensors:
        return load_tensors(self.path)

    def _beginning(self, prefix: str, what: str) -> Tensors:
        found = {name.removeprefix(prefix): value for name, value in self._all.items() if name.startswith(prefix)}
        if not found:
            raise ModelError(
                f"{self.path} is no original checkpoint of AudioLDM: it holds no {what} (no name begins with "
                f"{prefix!r}). A folder in diffusers' layout is named in generator.weights, without a checkpoint"
            )
        return found

    @functools.cached_property
    def _raw(self) -> Tensors:
        return self._beginning(_RAW, "UNet")

    @functools.cached_property
    def _unet(self) -> Tensors:
        chosen = self._raw if self.weights == "raw" else self._averaged()
        a_level = self._resnets + 1
        return {_unet_name(name, a_level): tensor for name, tensor in chosen.items()}

    def _averaged(self) -> Tensors:
        names = {name: _EMA + name.replace(".", "") for name in self._raw}
        lacking = [flat for flat in names.values() if flat not in self._all]
        if lacking:
            raise ModelError(
                f"{self.path} holds no averaged weights of {len(lacking)} of the UNet's {len(names)} tensors, such as "
                f"{lacking[0]}: it was saved without EMA. generator.weights=raw takes those it was trained to, which "
                "are not what AudioLDM's authors sample with"
            )
        return {name: self._all[flat] for name, flat in names.items()}

    @property
    def _resnets(self) -> int:
        """Resnets a level: the first level ends where the first halving is."""
        for index in range(1, 100):
            if f"input_blocks.{index}.0.op.weight" in self._raw:
                return index - 1
        raise ModelError(f"{self.path}: its UNet is not AudioLDM's: no input block halves the latents")

    @property
    def _widths(self) -> list[int]:
        """Channels of each level of the UNet."""
        raw, a_level = self._raw, self._resnets + 1
        last = [index for index in range(1, 100) if f"input_blocks.{index}.0.out_layers.3.weight" in raw]
        return [raw[f"input_blocks.{index}.0.out_layers.3.weight"].shape[0] for index in last if index % a_level == 1]

    def _unet_config(self) -> dict[str, Any]:
        raw, widths, a_level = self._raw, self._widths, self._resnets + 1
        attends = [f"input_blocks.{1 + level * a_level}.1.proj_in.weight" in raw for level in range(len(widths))]
        heads = heads_a_level(widths, self.head_channels or self.authors_head_channels)
        return {
            "in_channels": raw["input_blocks.0.0.weight"].shape[1],
            "out_channels": raw["out.2.weight"].shape[0],
            "down_block_types": ["CrossAttnDownBlock2D" if yes else "DownBlock2D" for yes in attends],
            "up_block_types": ["CrossAttnUpBlock2D" if yes else "UpBlock2D" for yes in reversed(attends)],
            "block_out_channels": widths,
            "cross_attention_dim": widths,  # both attentions of a block see the sound itself
            "layers_per_block": self._resnets,
            "attention_head_dim": heads,  # diffusers' word for the number of heads
            "class_embed_type": "simple_projection",
            "projection_class_embeddings_input_dim": raw["film_emb.weight"].shape[1],
            "class_embeddings_concat": True,
        }

    @functools.cached_property
    def _first_stage(self) -> Tensors:
        wanted = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
        stage = self._beginning(_VAE, "VAE")
        return {name: tensor for name, tensor in stage.items() if name.startswith(wanted)}

    @functools.cached_property
    def _vae(self) -> Tensors:
        levels = self._vae_levels
        named: Tensors = {}
        for name, tensor in self._first_stage.items():
            # Attention is a convolution of 1 x 1 there, and linear here.
            is_attention = re.search(r"\.attn_1\.(q|k|v|proj_out)\.weight$", name)
            new = _renamed(name, _VAE_NAMES)
            new = re.sub(r"\.up\.(\d+)\.", lambda found: f".up_blocks.{levels - 1 - int(found[1])}.", new)
            new = new.replace(".upsample.", ".upsamplers.0.")
            if ".up_blocks." in new:
                new = new.replace(".block.", ".resnets.")
            named[new] = tensor[:, :, 0, 0] if is_attention else tensor
        return named

    @property
    def _vae_levels(self) -> int:
        return len({name.split(".")[2] for name in self._first_stage if name.startswith("encoder.down.")})

    def _vae_config(self) -> dict[str, Any]:
        stage, levels = self._first_stage, range(self._vae_levels)
        scale = self._all.get("scale_factor")
        if scale is None:
            raise ModelError(f"{self.path} holds no scale_factor: by it latents are brought to unit variance")
        blocks = {name.split(".")[4] for name in stage if name.startswith("encoder.down.0.block.")}
        return {
            "in_channels": stage["encoder.conv_in.weight"].shape[1],
            "out_channels": stage["decoder.conv_out.weight"].shape[0],
            "down_block_types": ["DownEncoderBlock2D" for _ in levels],
            "up_block_types": ["UpDecoderBlock2D" for _ in levels],
            "block_out_channels": [stage[f"encoder.down.{level}.block.0.conv1.weight"].shape[0] for level in levels],
            "layers_per_block": len(blocks),
            "latent_channels": stage["post_quant_conv.weight"].shape[0],
            "scaling_factor": float(scale),
        }

    @functools.cached_property
    def _vocoder(self) -> Tensors:
        found = self._beginning(_VOCODER, "vocoder")
        return {re.sub(r"^ups\.", "upsampler.", name): tensor for name, tensor in found.items()}

    def _vocoder_config(self) -> dict[str, Any]:
        first = self._vocoder["conv_pre.weight"]
        return {
            "model_in_dim": first.shape[1],
            "sampling_rate": SAMPLE_RATE,
            "upsample_initial_channel": first.shape[0],
            "upsample_rates": [5, 4, 2, 2, 2],
            "upsample_kernel_sizes": [16, 16, 8, 4, 4],
            "resblock_kernel_sizes": [3, 7, 11],
            "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
            "normalize_before": False,
        }

    @functools.cached_property
    def _text_encoder(self) -> Tensors:
        found = self._beginning(_TEXT, "text tower of CLAP")
        # text_transform is of CLAP's training; nothing asks it for embeddings.
        return {
            _renamed(name, _TEXT_NAMES): tensor for name, tensor in found.items() if not name.startswith("transform.")
        }

    def _text_encoder_config(self) -> dict[str, Any]:
        found = self._text_encoder
        words = found["text_model.embeddings.word_embeddings.weight"]
        layers = {name.split(".")[3] for name in found if name.startswith("text_model.encoder.layer.")}
        return {
            "vocab_size": words.shape[0],
            "hidden_size": words.shape[1],
            "num_hidden_layers": len(layers),
            "num_attention_heads": max(1, words.shape[1] // 64),
            "intermediate_size": found["text_model.encoder.layer.0.intermediate.dense.weight"].shape[0],
            "max_position_embeddings": found["text_model.embeddings.position_embeddings.weight"].shape[0],
            "type_vocab_size": found["text_model.embeddings.token_type_embeddings.weight"].shape[0],
            "layer_norm_eps": 1e-5,  # RoBERTa's, which CLAP's text tower is; 1e-12 in the published folders
            "projection_dim": found["text_projection.linear2.weight"].shape[0],
            "projection_hidden_act": "relu",
        }


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, new in rules:
        name = re.sub(pattern, new, name)
    return name


def _unet_name(name: str, a_level: int) -> str:
    """The name of a tensor of the UNet; a level has `a_level` blocks, on the way down its halving among them."""
    down = re.match(r"input_blocks\.([1-9]\d*)\.(\d)\.(.*)", name)
    up = re.match(r"output_blocks\.(\d+)\.(\d)\.(.*)", name)
    if down:
        level, block = divmod(int(down[1]) - 1, a_level)
        if down[3].startswith("op."):
            return f"down_blocks.{level}.downsamplers.0.conv.{down[3].removeprefix('op.')}"
        name = f"down_blocks.{level}.{('resnets', 'attentions')[int(down[2])]}.{block}.{down[3]}"
    elif up:
        level, block = divmod(int(up[1]), a_level)
        if up[3].startswith("conv."):
            return f"up_blocks.{level}.upsamplers.0.{up[3]}"
        name = f"up_blocks.{level}.{('resnets', 'attentions')[int(up[2])]}.{block}.{up[3]}"
    return _renamed(name, _UNET_NAMES)
