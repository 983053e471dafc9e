"""The models of a reproduction: bundles by their part in the paper, and which of them share their eyes and ears."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from v2a_core.miniature.stand_ins import StandIn, write_stand_in
from v2a_core.models import LocalBundle, check_spaces, check_weights, load_bundle
from v2a_core.reproduction.systems import BundleRole
from workflows.reproduce.asked import Reproduce

STAND_INS: Mapping[BundleRole, StandIn] = {"blip": "blip", "small": "small", "large": "large"}


@dataclass(frozen=True)
class Models:
    """The bundles that the chosen rows need.

    Attributes:
        names: What to give a job as its `--models`, by their part.
        local: The same on this machine.
    """

    names: Mapping[BundleRole, str]
    local: Mapping[BundleRole, LocalBundle]

    def eyes(self, role: BundleRole) -> BundleRole:
        """The first bundle with the same embedding spaces: what it has seen, and mappers of it, serve both."""
        mine = self.local[role]
        return next(
            other
            for other, local in self.local.items()
            if (local.vision_space, local.audio_space) == (mine.vision_space, mine.audio_space)
        )


def resolve(asked: Reproduce, roles: Iterable[BundleRole]) -> Models:
    """Fetch the bundles and check them; stand-ins are written where the miniature's are meant."""
    names: dict[BundleRole, str] = {}
    for role in dict.fromkeys(("main", *roles)):
        names[role] = asked.bundle_of(role) or write_stand_in(STAND_INS[role], Path(asked.places.of("models", role)))
    local = {role: load_bundle(name).resolve() for role, name in names.items()}
    for bundle in local.values():
        check_weights(bundle)
        check_spaces(bundle)
    return Models(names, local)


def guessed_eyes(role: BundleRole) -> BundleRole:
    """The same before any bundle was fetched: the paper's generators share the space of their CLAP."""
    return "blip" if role == "blip" else "main"
