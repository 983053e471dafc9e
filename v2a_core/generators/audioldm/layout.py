"""The parts of an AudioLDM, and a folder that holds them in diffusers' layout.

    <folder>/unet, vae, vocoder, scheduler, text_encoder, tokenizer

Reading what lies where loads no model library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from v2a_core.models.checkpoints import load_tensors, part_weights
from v2a_core.models.errors import ModelError
from v2a_core.models.parts import read_json

if TYPE_CHECKING:
    import torch

PartName = Literal["unet", "vae", "vocoder", "text_encoder"]
PARTS: tuple[PartName, ...] = get_args(PartName)

# diffusers' default, which its conversion of AudioLDM left as it is: as many heads at every level.
CONVERTED_HEADS = 8

# Names of a VAE's attention in folders of before 2023, and now.
_VAE_WORDS = ((".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."), (".proj_attn.", ".to_out.0."))


class AudioLdmSource(Protocol):
    """Where the parts of an AudioLDM come from: a folder, or the original checkpoint.

    Attributes:
        path: The folder or file.
        tokenizer: Folder of the tokenizer.
        head_channels: Channels of an attention head; None: as the source says.
    """

    @property
    def path(self) -> Path:
        """See above."""

    @property
    def tokenizer(self) -> Path:
        """See above."""

    @property
    def head_channels(self) -> int | None:
        """See above."""

    def place(self, part: PartName) -> Path:
        """Where a part is, for messages."""

    def config(self, part: PartName) -> dict[str, Any]:
        """What the class of a part is built with."""

    def tensors(self, part: PartName) -> dict[str, torch.Tensor]:
        """The weights of a part, by the names of the class that we run."""

    def scheduler_config(self) -> dict[str, Any]:
        """The noise schedule, in diffusers' words."""


@dataclass(frozen=True)
class DiffusersFolder:
    """A generator's parts out of a folder in diffusers' layout.

    Attributes:
        path: The folder.
        head_channels: Channels of an attention head of the UNet; None: heads as `unet/config.json` says.
    """

    path: Path
    head_channels: int | None = None

    @property
    def tokenizer(self) -> Path:
        """Its folder."""
        return self.path / "tokenizer"

    def place(self, part: PartName) -> Path:
        """The folder of a part."""
        return self.path / part

    def config(self, part: PartName) -> dict[str, Any]:
        """The `config.json` of a part; the UNet's with the heads that are asked for.

        Raises:
            ModelError: When it is missing, or its heads contradict `head_channels`.
        """
        config = read_json(self.path / part / "config.json")
        if part != "unet" or self.head_channels is None:
            return config
        said = config.get("attention_head_dim", CONVERTED_HEADS)
        heads = heads_a_level(config["block_out_channels"], self.head_channels)
        if said not in (CONVERTED_HEADS, heads):
            raise ModelError(
                f"generator.head_channels = {self.head_channels} makes {heads} heads a level, but "
                f"{self.path / part / 'config.json'} says attention_head_dim {said}: leave head_channels out, or "
                "correct the one that is wrong"
            )
        return {**config, "attention_head_dim": heads}

    def tensors(self, part: PartName) -> dict[str, torch.Tensor]:
        """The weights of a part.

        Raises:
            ModelError: When there are none that can be read.
        """
        tensors = load_tensors(part_weights(self.path / part))
        if part == "vae":
            for old, new in _VAE_WORDS:
                tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
        return tensors

    def scheduler_config(self) -> dict[str, Any]:
        """See `AudioLdmSource.scheduler_config`."""
        path = self.path / "scheduler" / "scheduler_config.json"
        if not path.is_file():
            raise ModelError(
                f"{self.path} is no AudioLDM in diffusers' layout: scheduler/scheduler_config.json is missing"
            )
        return read_json(path)


def heads_a_level(widths: Sequence[int], head_channels: int) -> list[int]:
    """Attention heads of each level of a UNet.

    Args:
        widths: Channels of each level.
        head_channels: Channels of a head.

    Raises:
        ModelError: When a level's channels are no multiple of a head's.
    """
    uneven = [width for width in widths if width % head_channels]
    if uneven:
        raise ModelError(
            f"generator.head_channels = {head_channels}: the UNet has levels of {', '.join(map(str, uneven))} "
            "channels, which are no multiple of that"
        )
    return [width // head_channels for width in widths]
