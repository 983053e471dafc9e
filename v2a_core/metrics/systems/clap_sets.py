"""CLAP's embeddings of whole sets: their Fréchet distance, and how close each sound is to its reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.extractors.clap import CLAP, Clap
from v2a_core.metrics.similarity import cosine
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Heard, SetSettings
from v2a_core.metrics.systems.features import Features, Folders, Member, read_features
from v2a_core.metrics.systems.frechet_sets import FrechetOfSets

Members = Mapping[str, Sequence[Member]]


@dataclass(frozen=True)
class ClapSounds:
    """The sounds of a system, and what they are compared with one by one.

    Attributes:
        made: Of the system, by sound id.
        reference: The originals, by sound id.
        given: Embeddings to compare with instead of the originals', by key; those of other keys are taken as a set.
            None: the originals' own.
    """

    made: Members
    reference: Members
    given: Mapping[str, npt.NDArray[np.float32]] | None = None

    def named(self, names: Mapping[str, str]) -> ClapSounds:
        """The same, whose sounds of one name depend on each other.

        Args:
            names: Of the sources, by the key of each sound.
        """

        def of(members: Members) -> Members:
            found = {
                sound: [Member(m.key, names[m.key]) for m in of if m.key in names] for sound, of in members.items()
            }
            return {sound: of_sound for sound, of_sound in found.items() if of_sound}

        return replace(self, made=of(self.made), reference=of(self.reference))

    def heard(self, folders: Folders, settings: SetSettings, folder: Path) -> Heard:
        """What CLAP heard of them, in files of this empty folder; of the references those of sounds that were heard."""
        made = read_features(folders.made, self.made, Clap.sizes, folder / "made")
        if self.given is not None:
            return Heard(made, self._given(made, folder / "reference"), None, {}, settings)
        wanted = {sound: [m for m in members if m.key in made.keys] for sound, members in self.reference.items()}
        wanted = {sound: members for sound, members in wanted.items() if members}
        place = folder / "reference"
        reference = read_features(folders.reference, wanted, Clap.sizes, place, with_silence=False)
        return Heard(made, reference, None, {}, settings)

    def _given(self, made: Features, folder: Path) -> Features:
        reference, given = Features(folder, Clap.sizes), self.given or {}
        sources = {member.key: member for members in self.made.values() for member in members}
        own = {key: vector_D for key, vector_D in given.items() if key in made.keys}
        for key, vector_D in (own or given).items():
            reference.add(sources[key] if own else Member(key, key), {"embedding": vector_D[None]})
        return reference


def similarities(heard: Heard) -> dict[str, float]:
    """The cosine of each sound and its reference, by key."""
    found: dict[str, float] = {}
    if heard.reference is not None:
        for keys, made_ND, reference_ND in heard.made.pairs(heard.reference, "embedding"):
            found |= zip(keys, cosine(made_ND, reference_ND).tolist(), strict=True)
    return found


SET_METRICS.add("clap_frechet", FrechetOfSets("Fréchet distance (CLAP)", CLAP))
