"""What extractors have not heard yet is heard, then all systems are measured as sets, side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from v2a_core import storage
from v2a_core.metrics.extractors.clap import CLAP
from v2a_core.metrics.extractors.folder import Weights, listening_extractor
from v2a_core.metrics.extractors.verdicts import JUDGE
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.metrics.systems.clap_sets import ClapSounds
from v2a_core.metrics.systems.clip_frames import read_frames
from v2a_core.metrics.systems.features import Folders
from v2a_core.metrics.systems.judged import read_judged
from v2a_core.metrics.systems.measure import REFERENCES as ALL_REFERENCES
from v2a_core.metrics.systems.measure import Measured, Sets, measure_sets
from v2a_core.metrics.systems.sets import SoundSet, once, paired, single, sound_set
from v2a_core.stages.sounds import SILENCE
from v2a_core.tables.features import PAIRS, SOUNDS
from workflows.command.arguments import Asked
from workflows.evaluate.asides import FEATURES_FOLDER, MADE, REFERENCES, RIDERS, ROUND_TRIP
from workflows.evaluate.config import EvaluateJob
from workflows.evaluate.extraction import Asking, extract, feature_folder, hears, in_pairs


@dataclass(frozen=True)
class Compared:
    """What is compared, and where it is kept.

    Attributes:
        output: Folder or URI of the evaluation.
        systems: The sounds of each system, by its name.
        reference: The references' sounds; None: there are none.
        embeddings: Folder or URI that `v2a embed` wrote, for the videos' frames.
        weights: Of each extractor with a folder of its own that is used.
        protocol: What is heard of each sound.
        clap: What CLAP is to compare of each system; empty: nothing.
        only: Names of the metrics of sets that are wanted; None: all.
        round_trip: Fingerprint of the generator whose VAE and vocoder the references go through, too; empty: of none.
    """

    output: str
    systems: Mapping[str, SoundSet]
    reference: SoundSet | None
    embeddings: str | None
    weights: Mapping[str, Weights]
    protocol: Protocol
    clap: Mapping[str, ClapSounds] = field(default_factory=dict)
    only: Collection[str] | None = None
    round_trip: str = ""

    def heard_by(self, weights: Weights) -> tuple[str, ...]:
        """The kinds of sounds that an extractor hears, or sees the videos of."""
        if not hears(weights):
            return (REFERENCES,)
        there = self.reference is not None and self.reference.table.num_rows > 0
        if weights.extractor == CLAP and any(sounds.given is not None for sounds in self.clap.values()):
            return (MADE,)
        if not listening_extractor(weights.extractor).with_silence:
            return (MADE, *((REFERENCES,) if there else ()))
        return (MADE, REFERENCES, *((ROUND_TRIP,) if there and self.round_trip else ()))


def feature_outputs(compared: Compared) -> list[str]:
    """The outputs that a comparison makes of extractors, by their places in its own."""
    return [
        feature_folder(f"{FEATURES_FOLDER}/{kind}", found, compared.protocol)
        for found in compared.weights.values()
        for kind in compared.heard_by(found)
    ]


def compare(compared: Compared, job: EvaluateJob, asked: Asked) -> Measured:
    """Hear what is missing, then compute every metric of sets for every system; and read what a judge heard.

    Args:
        compared: What.
        job: The configuration.
        asked: Models, address, ...
    """
    protocol = compared.protocol
    silence, reference = single(SILENCE), compared.reference or sound_set([])
    # What is seen of videos comes before the sounds that are compared with it.
    folders: dict[str, Folders] = {}
    for weights in sorted(compared.weights.values(), key=hears):
        folders[weights.extractor] = _extracted(compared, weights, folders, job, asked)
    with tempfile.TemporaryDirectory(prefix="v2a-") as folder:
        members = {system: found.members() for system, found in compared.systems.items()}
        every = {**compared.systems, ALL_REFERENCES: reference}
        sets = Sets(
            members,
            reference.members(),
            read_frames(compared.embeddings, members, Path(folder) / "frames") if compared.embeddings else None,
            next(iter(silence.members())),
            folders,
            compared.clap,
            {name: paired(found, reference).members() for name, found in every.items()},
        )
        measured = measure_sets(sets, protocol, job.sets, Path(folder), compared.only)
    verdicts = folders.get(JUDGE)
    if verdicts is None:
        return measured
    return replace(measured, judged=read_judged(verdicts, members, reference.members()), verdicts=verdicts.made)


def _extracted(
    compared: Compared, weights: Weights, before: Mapping[str, Folders], job: EvaluateJob, asked: Asked
) -> Folders:
    """Let an extractor hear or see what it has not yet.

    Args:
        compared: What is compared.
        weights: Of the extractor.
        before: What others found, those of videos among them.
        job: The configuration.
        asked: Models, address, ...
    """
    reference, asking, columns = compared.reference or sound_set([]), Asking(weights, compared.protocol), SOUNDS
    systems, references = list(compared.systems.values()), [reference]
    if in_pairs(weights):
        asking, columns = replace(asking, seen=before[listening_extractor(weights.extractor).beside].reference), PAIRS
        systems, references = [paired(system, reference) for system in systems], [paired(reference, reference)]
    elif not hears(weights) or listening_extractor(weights.extractor).with_silence:
        references.append(single(SILENCE))
    # A real video may have no sound: that is no sign of a run that goes wrong.
    lenient = job.model_copy(update={"limits": job.limits.model_copy(update={"max_reject_share": 1.0})})
    sets = {MADE: systems, REFERENCES: references, ROUND_TRIP: references[:1]}
    found = {
        kind: extract(
            storage.join(compared.output, FEATURES_FOLDER, kind),
            once(sets[kind], columns),
            replace(asking, after=compared.round_trip) if kind == ROUND_TRIP else asking,
            job if kind == MADE else lenient,
            asked,
            # An original that is not there is a note in the rows; networks ask for every one.
            optional=kind == REFERENCES and weights.extractor in RIDERS,
        )
        for kind in compared.heard_by(weights)
    }
    return Folders(weights, found.get(MADE, ""), found.get(REFERENCES, ""), found.get(ROUND_TRIP, ""))
