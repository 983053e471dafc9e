"""What mappers are made of, by name: aggregators, networks and methods.

A new one is a file that registers itself, together with its settings, and a line here; the contract tests over these
registries then cover it. Other packages name the module of theirs in an entry point of the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2a_core.registry import Registry

if TYPE_CHECKING:
    from v2a_core.mappers.aggregators import Aggregator
    from v2a_core.mappers.base import MapperModel, MapperNetwork

AGGREGATORS: Registry[Aggregator] = Registry(
    "aggregator",
    "v2a.aggregators",
    dict.fromkeys(("average", "middle", "random"), "v2a_core.mappers.aggregators"),
)
NETWORKS: Registry[type[MapperNetwork]] = Registry(
    "mapper network",
    "v2a.mapper_networks",
    {"mlp": "v2a_core.mappers.mlp", "transformer": "v2a_core.mappers.transformer"},
)
METHODS: Registry[type[MapperModel]] = Registry(
    "mapper method",
    "v2a.mapper_methods",
    {
        "regression": "v2a_core.mappers.regression",
        "diffusion": "v2a_core.mappers.diffusion",
        "flow": "v2a_core.mappers.flow",
    },
)
