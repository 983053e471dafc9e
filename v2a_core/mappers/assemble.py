"""A mapper from its settings: the method of the registry around the network of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2a_core.mappers.config import MapperSettings
from v2a_core.mappers.registries import METHODS, NETWORKS
from v2a_core.tables.schema import EMBEDDING_DIM

if TYPE_CHECKING:
    from v2a_core.mappers.base import MapperModel


def build(settings: MapperSettings, embedding_dim: int = EMBEDDING_DIM, vision_dim: int = EMBEDDING_DIM) -> MapperModel:
    """A mapper with fresh weights, from torch's global random state.

    Args:
        settings: Method and network.
        embedding_dim: Width of an audio embedding.
        vision_dim: Width of a visual embedding.
    """
    method, network = METHODS[settings.method.kind].component, NETWORKS[settings.network.kind].component
    made = network(embedding_dim, vision_dim, settings.method.noise_levels, settings.network)
    return method(embedding_dim, vision_dim, made, settings.method)


def count_parameters(
    settings: MapperSettings, embedding_dim: int = EMBEDDING_DIM, vision_dim: int = EMBEDDING_DIM
) -> int:
    """How many trainable numbers a mapper has; allocates none of them."""
    from v2a_core.models.unset import Described

    with Described():
        return sum(parameter.numel() for parameter in build(settings, embedding_dim, vision_dim).parameters())
