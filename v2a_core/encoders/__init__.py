"""Frozen encoders: one file each, built by name. A new one is a file and a line here; the contract test covers it.

An encoder takes `(bundle, settings, device)`, has `space` and `dim`, and its `encode` gives float32 (n, dim),
L2-normalised, the same for any batch size.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from v2a_core.encoders.config import EncoderSettings
    from v2a_core.models import LocalBundle

# What they see or hear -> name -> where the class is; imported only when built.
ENCODERS: dict[str, dict[str, str]] = {
    "vision": {"clip": "v2a_core.encoders.clip:ClipEncoder", "blip": "v2a_core.encoders.blip:BlipEncoder"},
    "audio": {"clap": "v2a_core.encoders.clap:ClapEncoder"},
}


class Encoder(Protocol):
    """What every encoder has.

    Attributes:
        space: Name of the embedding space: model and fingerprint of the weights.
        dim: Numbers in an embedding.
    """

    space: str
    dim: int

    def encode(self, items: npt.NDArray[Any], /) -> npt.NDArray[np.float32]:
        """Float32 (len(items), dim), L2-normalised."""


def build(kind: str, name: str, bundle: LocalBundle, settings: EncoderSettings, device: str = "cpu") -> Encoder:
    """An encoder of the registry with the bundle's weights.

    Args:
        kind: `vision` or `audio`.
        name: Its name in the registry.
        bundle: The models.
        settings: How to run.
        device: Where.

    Raises:
        ValueError: For a name that the registry does not have.
    """
    known = ENCODERS.get(kind, {})
    if name not in known:
        raise ValueError(f"no {kind} encoder {name!r}; known: {', '.join(known) or 'none'}")
    module, _, cls = known[name].partition(":")
    encoder: Encoder = getattr(importlib.import_module(module), cls)(bundle, settings, device)
    return encoder
