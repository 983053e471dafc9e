"""Mappers: from what was seen (CLIP embeddings of frames) to what shall be heard (a CLAP embedding).

A mapper is a method (how the target is reached) around a network (what computes it). A new one is a file, a settings
class in `config.py` and a line here; the contract test over this registry then covers it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from v2a_core.mappers.config import MapperSettings
from v2a_core.tables.schema import EMBEDDING_DIM

if TYPE_CHECKING:
    from v2a_core.mappers.base import MapperModel
    from v2a_core.mappers.config import SamplingSettings
    from v2a_core.mappers.export import Mapper

# Named, not imported: torch loads only when a mapper is built.
METHODS = {
    "regression": "v2a_core.mappers.regression:RegressionModel",
    "diffusion": "v2a_core.mappers.diffusion:DiffusionModel",
    "flow": "v2a_core.mappers.flow:FlowModel",
}
NETWORKS = {
    "mlp": "v2a_core.mappers.mlp:MlpNetwork",
    "transformer": "v2a_core.mappers.transformer:TransformerNetwork",
}


def build(settings: MapperSettings, embedding_dim: int = EMBEDDING_DIM, vision_dim: int = EMBEDDING_DIM) -> MapperModel:
    """A mapper with fresh weights, from torch's global random state.

    Args:
        settings: Method and network.
        embedding_dim: Width of an audio embedding.
        vision_dim: Width of a visual embedding.
    """
    time_steps = getattr(settings.method, "time_steps", 0)
    network = _resolve(NETWORKS[settings.network.kind])(embedding_dim, vision_dim, time_steps, settings.network)
    model: MapperModel = _resolve(METHODS[settings.method.kind])(embedding_dim, vision_dim, network, settings.method)
    return model


def load_mapper(uri: str, device: str = "cpu", *, sampling: SamplingSettings | None = None) -> Mapper:
    """An exported mapper from a local or remote folder; see `v2a_core.mappers.export.Mapper`."""
    from v2a_core.mappers.export import Mapper

    return Mapper.from_pretrained(uri, device, sampling=sampling)


def count_parameters(
    settings: MapperSettings, embedding_dim: int = EMBEDDING_DIM, vision_dim: int = EMBEDDING_DIM
) -> int:
    """How many trainable numbers a mapper has; allocates none of them."""
    import torch

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(settings, embedding_dim, vision_dim).parameters())


def _resolve(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
