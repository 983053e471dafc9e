"""All metrics of sets, of several systems, and how they are written down."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from v2a_core.metrics.base import NotMeasuredError, Rows, Score
from v2a_core.metrics.extractors.clap import CLAP
from v2a_core.metrics.extractors.folder import PairExtractor, folder_extractor, listening_extractor
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.metrics.stored import gathered
from v2a_core.metrics.systems import SET_METRICS
from v2a_core.metrics.systems.base import Estimate, Heard, SetSettings, difference
from v2a_core.metrics.systems.clap_sets import ClapSounds, similarities
from v2a_core.metrics.systems.features import Features, Folders, Member, read_features
from v2a_core.metrics.systems.judged import Judged

ROUND_TRIP, REFERENCES = "/round-trip", "/references"  # no names of systems
_NO_VIDEO = "NoVideo"  # why a sound that is heard with its video has nothing
Members = Mapping[str, Sequence[Member]]


@dataclass(frozen=True)
class Sets:
    """What is compared.

    Attributes:
        systems: The sounds of each system, by its name.
        reference: The references' sounds.
        frames: Mean frames of the videos; None: there are none.
        silence: Sound id of silence.
        folders: Of each network that was used, by its name.
        clap: What CLAP is to compare of each system, by its name.
        pairs: The sounds of each system that have a video, and of the references by `REFERENCES`, each by its id
            together with it.
    """

    systems: Mapping[str, Members]
    reference: Members
    frames: Features | None
    silence: str
    folders: Mapping[str, Folders]
    clap: Mapping[str, ClapSounds] = field(default_factory=dict)
    pairs: Mapping[str, Members] = field(default_factory=dict)


@dataclass(frozen=True)
class SetResult:
    """A metric's number, or why there is none.

    Attributes:
        name, title, better: Of the metric.
        extractor: Whose features.
        sha256: Of its weights; empty without.
        protocol: What was heard of each sound.
        estimate: None when it was not measured.
        reason: Why not.
    """

    name: str
    title: str
    better: str
    extractor: str
    sha256: str
    protocol: Protocol
    estimate: Estimate | None = None
    reason: str = ""

    def to_dict(self, confidence: float) -> dict[str, Any]:
        """Plain data for JSON."""
        head: dict[str, Any] = {"title": self.title, "better": self.better, "extractor": self.extractor}
        if self.estimate is None:
            return head | {"not_measured": self.reason}
        beside = {name: value for name, value in self.estimate.beside.items() if math.isfinite(value)}
        made_by = {"sha256": self.sha256, "protocol": self.protocol.describe()}
        return head | self.estimate.score(confidence).to_dict() | made_by | ({"beside": beside} if beside else {})


@dataclass(frozen=True)
class Measured:
    """The metrics of sets of all systems.

    Attributes:
        results: Of each system, by its name, in the order of the registry.
        not_heard: How many sounds a network has nothing of and why, by system and extractor.
        similar: The cosine of what CLAP hears in each sound and in its reference, by system and key.
        judged: What a judge heard of each system and of the references, by system; empty without a judge.
        verdicts: Folder or URI of its rows of what the systems made; empty likewise.
    """

    results: dict[str, list[SetResult]]
    not_heard: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    similar: dict[str, dict[str, float]] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict)
    verdicts: str = ""


def joined(rows: Rows, measured: Measured, system: str, key: str) -> dict[str, Sequence[Any]]:
    """Evaluated rows with what metrics need of the folders of extractors.

    Args:
        rows: Columns of the rows of a system.
        measured: What was read of the folders.
        system: Its name.
        key: The column that has the keys.
    """
    similar = measured.similar.get(system, {})
    found = {name: value for name, value in similar.items() if math.isfinite(value)}
    rows = measured.judged.get(system, Judged()).joined(rows, key)
    return {**rows, "similarity_to_reference": [found.get(name) for name in rows[key]]}


def measure_sets(
    sets: Sets, protocol: Protocol, settings: SetSettings, folder: Path, only: Collection[str] | None = None
) -> Measured:
    """Every metric of the registry, of every system; one network after the other.

    Args:
        sets: What is compared.
        protocol: What was heard of each sound.
        settings: How.
        folder: An empty one for features on their way.
        only: Names of the metrics that are wanted; None: all.
    """
    found: dict[str, dict[str, SetResult]] = {name: {} for name in sets.systems}
    not_heard: dict[str, dict[str, Counter[str]]] = {}
    similar: dict[str, dict[str, float]] = {}
    metrics = {name: SET_METRICS[name].component for name in SET_METRICS.names() if only is None or name in only}
    for extractor in dict.fromkeys(metric.extractor for metric in metrics.values()):
        names = [name for name, metric in metrics.items() if metric.extractor == extractor]
        heard, sha256 = _heard_by(extractor, sets, settings, folder / extractor)
        if extractor == CLAP:
            similar = {system: similarities(of_system) for system, of_system in heard.items()}
        ceiling = None
        if ROUND_TRIP in heard:
            ceiling = {name: _measure(name, heard[ROUND_TRIP], extractor, sha256, protocol) for name in names}
        for system in sets.systems:
            reasons = heard[system].made.reasons() if system in heard else None
            if reasons and extractor != CLAP:  # rows of the evaluation tell of its own
                not_heard.setdefault(system, {})[extractor] = reasons
            for name in names:
                result = _measure(name, heard.get(system), extractor, sha256, protocol)
                found[system][name] = result if ceiling is None else _beside(result, ceiling[name])
    ordered = {system: [results[name] for name in metrics] for system, results in found.items()}
    return Measured(ordered, not_heard, similar)


def differences(results: Mapping[str, Sequence[SetResult]], confidence: float) -> dict[str, dict[str, Score]]:
    """Each system's number minus that of the first one, by metric and system; the same sources fall out."""
    first, *others = results
    by_name = {system: {result.name: result.estimate for result in results[system]} for system in results}
    found: dict[str, dict[str, Score]] = {}
    for name, base in by_name[first].items():
        for other in others:
            estimate = by_name[other][name]
            if base is not None and estimate is not None:
                found.setdefault(name, {})[other] = difference(estimate, base, confidence)
    return found


def _heard_by(extractor: str, sets: Sets, settings: SetSettings, folder: Path) -> tuple[dict[str, Heard], str]:
    """What an extractor says of each system, and the sha256 of its weights; nothing when it was not used."""
    folders = sets.folders.get(extractor)
    if folders is None:
        return {}, ""
    if extractor != CLAP:
        return _heard(sets, folders, settings, folder), folders.weights.sha256
    places = {name: folder / f"system-{number}" for number, name in enumerate(sets.clap)}
    heard = {name: found.heard(folders, settings, places[name]) for name, found in sets.clap.items()}
    return heard, folders.weights.sha256


def _heard(sets: Sets, folders: Folders, settings: SetSettings, folder: Path) -> dict[str, Heard]:
    """What the network says of each system and of the references."""
    extractor = listening_extractor(folders.weights.extractor)
    sizes, in_pairs = extractor.sizes, issubclass(extractor, PairExtractor)

    def features(rows: str, name: str, members: Members, place: str) -> Features:
        if not issubclass(extractor, PairExtractor):
            return read_features(rows, members, sizes, folder / place)
        pairs = sets.pairs.get(name, {})
        found = read_features(rows, pairs, sizes, folder / place)
        found.leave_out_empty(next(iter(sizes)), extractor.refusal)
        found.rejected |= dict.fromkeys(_keys(members) - _keys(pairs), _NO_VIDEO)
        return found

    reference = features(folders.reference, REFERENCES, sets.reference, "reference") if sets.reference else None
    silence = {} if in_pairs else _silence(sets, folders, sizes, folder / "silence")
    videos = None if in_pairs else _videos(extractor.beside, sets, folder / "videos")
    rows = {system: (folders.made, system, members) for system, members in sets.systems.items()}
    if folders.round_trip:
        rows[ROUND_TRIP] = (folders.round_trip, REFERENCES, sets.reference)
    return {
        system: Heard(features(*found, f"system-{number}"), reference, sets.frames, silence, settings, videos)
        for number, (system, found) in enumerate(rows.items())
    }


def _keys(members: Members) -> set[str]:
    return {member.key for of_sound in members.values() for member in of_sound}


def _videos(extractor: str, sets: Sets, folder: Path) -> Features | None:
    """What an extractor found out about the references' videos; None when nobody looked."""
    folders = sets.folders.get(extractor)
    if folders is None or not sets.reference:
        return None
    return read_features(folders.reference, sets.reference, folder_extractor(extractor).sizes, folder)


def _silence(
    sets: Sets, folders: Folders, sizes: Mapping[str, int], folder: Path
) -> dict[str, npt.NDArray[np.float32]]:
    members = {sets.silence: [Member("silence", "silence")]}
    found = read_features(folders.reference, members, sizes, folder)
    return {name: gathered(found.drawn(name).rows_ND) for name in sizes if found.count(name)}


def _beside(result: SetResult, ceiling: SetResult) -> SetResult:
    """A result with what the references score after VAE and vocoder beside it."""
    if result.estimate is None or ceiling.estimate is None:
        return result
    beside = {**result.estimate.beside, "vae_vocoder": ceiling.estimate.value}
    return replace(result, estimate=replace(result.estimate, beside=beside))


def _nothing(made: Features) -> str:
    """Why nothing was heard of a system."""
    if made.rejected and set(made.rejected.values()) == {_NO_VIDEO}:
        return "needs the videos: give --references that are videos, and not their sounds alone"
    return "no sound could be heard"


def _measure(name: str, heard: Heard | None, extractor: str, sha256: str, protocol: Protocol) -> SetResult:
    metric = SET_METRICS[name].component
    protocol = listening_extractor(extractor).heard(protocol)
    head = (name, metric.title, metric.better, extractor, sha256, protocol)
    if heard is None:
        return SetResult(*head, reason=listening_extractor(extractor).missing(extractor))
    if not heard.made.keys:
        return SetResult(*head, reason=_nothing(heard.made))
    try:
        return SetResult(*head, estimate=metric.compute(heard))
    except NotMeasuredError as error:
        return SetResult(*head, reason=str(error))
