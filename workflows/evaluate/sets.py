"""Metrics of sets: what networks have not heard yet is heard, then all systems are measured side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from v2a_core import storage
from v2a_core.metrics.extractors.folder import Weights
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.metrics.systems.clap_sets import EvaluatedRows
from v2a_core.metrics.systems.clip_frames import read_frames
from v2a_core.metrics.systems.measure import Folders, Measured, Sets, measure_sets
from v2a_core.metrics.systems.sets import SoundSet, once, single, sound_set
from v2a_core.stages.sounds import SILENCE
from workflows.command.arguments import Asked
from workflows.evaluate.config import EvaluateJob
from workflows.evaluate.extraction import Asking, extract, feature_folder, hears

FEATURES_FOLDER = "features"
# Beside what systems made: references are heard once for all of them.
_MADE, _REFERENCES, _ROUND_TRIP = "made", "references", "round-trip"


@dataclass(frozen=True)
class Compared:
    """What is compared, and where it is kept.

    Attributes:
        output: Folder or URI of the evaluation.
        systems: The sounds of each system, by its name.
        reference: The references' sounds; None: there are none.
        embeddings: Folder or URI that `v2a embed` wrote, for the videos' frames.
        weights: Of each network that is used.
        protocol: What is heard of each sound.
        rows: The evaluated rows of each system; empty: there are none.
        clap: Fingerprint of the CLAP that they are of.
        only: Names of the metrics of sets that are wanted; None: all.
        round_trip: Fingerprint of the generator whose VAE and vocoder the references go through, too; empty: of none.
    """

    output: str
    systems: Mapping[str, SoundSet]
    reference: SoundSet | None
    embeddings: str | None
    weights: Mapping[str, Weights]
    protocol: Protocol
    rows: Mapping[str, EvaluatedRows] = field(default_factory=dict)
    clap: str = ""
    only: Collection[str] | None = None
    round_trip: str = ""

    @property
    def comes_back(self) -> bool:
        """Whether there are references that go through VAE and vocoder."""
        return bool(self.round_trip) and self.reference is not None and self.reference.table.num_rows > 0


def feature_outputs(compared: Compared) -> list[str]:
    """The outputs that a comparison makes of networks, by their places in its own."""
    heard = (_MADE, _REFERENCES, *((_ROUND_TRIP,) if compared.comes_back else ()))
    return [
        feature_folder(f"{FEATURES_FOLDER}/{kind}", found, compared.protocol)
        for found in compared.weights.values()
        for kind in (heard if hears(found) else (_REFERENCES,))
    ]


def compare(compared: Compared, job: EvaluateJob, asked: Asked) -> Measured:
    """Hear what is missing, then compute every metric of sets for every system.

    Args:
        compared: What.
        job: The configuration.
        asked: Models, address, ...
    """
    protocol = compared.protocol
    silence, reference = single(SILENCE), compared.reference or sound_set([])
    features = storage.join(compared.output, FEATURES_FOLDER)
    folders = {}
    for name, weights in compared.weights.items():
        asking, made = Asking(weights, protocol), ""
        heard = extract(storage.join(features, _REFERENCES), once([reference, silence]), asking, job, asked)
        back = ""
        if hears(weights):
            sounds = once(list(compared.systems.values()))
            made = extract(storage.join(features, _MADE), sounds, asking, job, asked)
            if compared.comes_back:
                there = replace(asking, after=compared.round_trip)
                back = extract(storage.join(features, _ROUND_TRIP), once([reference]), there, job, asked)
        folders[name] = Folders(weights, made, heard, back)
    with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
        members = {system: found.members() for system, found in compared.systems.items()}
        sets = Sets(
            members,
            reference.members(),
            read_frames(compared.embeddings, members, Path(folder) / "frames") if compared.embeddings else None,
            next(iter(silence.members())),
            folders,
            (compared.rows, compared.clap),
        )
        return measure_sets(sets, protocol, job.sets, Path(folder), compared.only)
