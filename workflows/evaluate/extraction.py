"""Extractors with folders of their own: a row a sound or video, and only what is missing is heard or seen."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from ray.data import Dataset

from v2a_core import storage
from v2a_core.compute.ids import pack
from v2a_core.config import ConfigError
from v2a_core.metrics.extractors.clap import CLAP, clap_of
from v2a_core.metrics.extractors.folder import (
    FolderExtractor,
    HearingExtractor,
    ListeningExtractor,
    LoadedExtractor,
    PairExtractor,
    WatchingExtractor,
    Weights,
    folder_extractor,
)
from v2a_core.metrics.extractors.librosa_onsets import LibrosaOnsets
from v2a_core.metrics.extractors.motion import MotionSettings, VideoMotion
from v2a_core.metrics.extractors.network import NetworkSettings, find_weights, networks
from v2a_core.metrics.extractors.verdicts import JUDGE, VerdictSettings, find_judge
from v2a_core.metrics.hearing_protocols import Protocol
from v2a_core.metrics.inputs import is_whole
from v2a_core.models import Bundle, LocalBundle, ModelError
from v2a_core.outputs.ledger import Ledger, embeddings_ledger, places_of
from v2a_core.outputs.unfinished import UnfinishedError
from v2a_core.protocols import JSON
from v2a_core.tables import features
from v2a_core.tables.schema import REJECTED, ROWS_FOLDER
from v2a_core.verification.retry import forget
from workflows.cluster_runtime.pools import Pools
from workflows.command.arguments import Asked
from workflows.evaluate.config import EvaluateJob
from workflows.evaluate.hearing import HearPairs, HearSounds, ThroughModels, WatchFilms, load_ears
from workflows.evaluate.reading import PLACE, ReadFilms, ReadPairs, ReadSounds, SeeVideos
from workflows.streaming.job import DryRun, Identity, Models, Plan, Request, Rows, StreamingJob
from workflows.streaming.plan import from_tables
from workflows.streaming.run import Entrance
from workflows.streaming.run import run as run_streaming
from workflows.streaming.stages import run_actors, run_tasks
from workflows.streaming.summary import NothingMadeError, Tally

MOTION, ONSETS = "motion", "librosa-onsets"
_SOUNDS_PER_BLOCK = 8
_HEARD = ["source_id", "kind", "source_uri", "content", "status", "reject_stage"]
_DIGITS = 12  # of the sha256 of weights, in the name of a folder


def chosen_weights(job: EvaluateJob) -> dict[str, Weights]:
    """The networks whose weights the settings name, those for the videos beside them, and what else is wanted.

    Raises:
        ConfigError: When weights cannot be had, or have another sha256 than the settings say, or a library is missing.
    """
    found: dict[str, Weights] = {}
    for name, network in networks().items():
        weights = find_weights(name, job.extractors.own(name, NetworkSettings))
        if weights is not None:
            found[name] = weights
            if network.beside:
                found[network.beside] = replace(weights, extractor=network.beside)
    if job.extractors.own(MOTION, MotionSettings).use:
        found |= {MOTION: VideoMotion.program(MOTION), ONSETS: LibrosaOnsets.program(ONSETS)}
    return found


def bundle_weights(job: EvaluateJob, bundle: Bundle, local: LocalBundle) -> dict[str, Weights]:
    """The bundle's CLAP, and the judge that the settings name or that lies beside its models, if there is one.

    Raises:
        ConfigError: When the judge cannot be had.
    """
    judge = find_judge(job.extractors.own(JUDGE, VerdictSettings), bundle, local)
    clap = clap_of(bundle, local, functools.partial(load_ears, bundle, job.encoders))
    return {CLAP: clap, **({JUDGE: judge} if judge else {})}


def feature_folder(place: str, weights: Weights, protocol: Protocol) -> str:
    """Where in a place lies what an extractor found by a protocol."""
    return storage.join(place, weights.extractor, f"{weights.sha256[:_DIGITS]}-{protocol.name}")


@dataclass(frozen=True)
class Asking:
    """What is asked about sounds.

    Attributes:
        weights: Of which extractor.
        protocol: What it hears of them.
        after: What sounds went through before: the fingerprint of a generator, whose VAE and vocoder they came back
            from. Empty: nothing.
        seen: Folder or URI of the rows of what was seen of their videos; empty: sounds are heard by themselves.
    """

    weights: Weights
    protocol: Protocol
    after: str = ""
    seen: str = ""


def extract(
    place: str, sounds: pa.Table, asking: Asking, job: EvaluateJob, asked: Asked, *, optional: bool = False
) -> str:
    """Hear or see what the extractor has not heard or seen yet.

    Args:
        place: Folder or URI that holds a folder an extractor.
        sounds: Of `features.SOUNDS`; an extractor of videos takes those that are of one. Of `features.PAIRS` for one
            of both.
        asking: What is asked about them.
        job: The configuration.
        asked: Models, address, ...
        optional: Whether sounds that cannot be fetched are done without.

    Returns:
        Folder or URI of its rows.

    Raises:
        UnfinishedError: When some could not be fetched, unless they are optional.
    """
    output = feature_folder(place, asking.weights, asking.protocol)
    if not hears(asking.weights):
        sounds = sounds.filter(pc.is_valid(sounds["source"]))
    entrance = Entrance(
        Extraction.name,
        job,
        inputs=[],
        listed=lambda _: sounds,
        opened=functools.partial(_open, job, asking),
    )
    asked = {**asked, "limit": None, "dry_run": False}
    try:
        run_streaming(Request(output, **asked), entrance)
    except NothingMadeError as error:
        print(f"extract: {error}", flush=True)  # each of them has a row that says why
    except UnfinishedError as error:
        if not optional:
            raise
        print(f"extract: {error}", flush=True)
    return storage.join(output, ROWS_FOLDER)


def hears(weights: Weights) -> bool:
    """Whether an extractor hears sounds; another one sees the videos that they belong to."""
    return issubclass(folder_extractor(weights.extractor), ListeningExtractor)


def in_pairs(weights: Weights) -> bool:
    """Whether it hears sounds with what was seen of their videos."""
    return issubclass(folder_extractor(weights.extractor), PairExtractor)


def _open(job: EvaluateJob, asking: Asking, models: Models, sounds: pa.Table) -> Extraction:
    return (RoundTripExtraction if asking.after else Extraction)(models, job, asking, sounds)


@dataclass(frozen=True)
class Extraction(StreamingJob[pa.Table]):
    """Sounds become rows with what an extractor found out about them or their videos.

    Attributes:
        settings: The configuration.
        asking: Whom, and what is heard.
        sounds: Of `features.SOUNDS`, each once.
    """

    name: ClassVar[str] = "extract"
    stage_columns: ClassVar[Mapping[str, str]] = {"read": "read_s", "extract": "extract_s"}
    settings: EvaluateJob
    asking: Asking
    sounds: pa.Table

    @property
    def _extractor(self) -> type[FolderExtractor]:
        return folder_extractor(self.asking.weights.extractor)

    def identity(self) -> Identity:
        """The extractor, its weights, and what it hears of a sound."""
        weights = self.asking.weights
        content: dict[str, JSON] = {
            "extractor": weights.extractor,
            "sha256": weights.sha256,
            "protocol": dict(self.asking.protocol.describe()),
            **({"options": {**weights.options}} if weights.options else {}),
            **({"after": self.asking.after} if self.asking.after else {}),
        }
        return Identity(content, {})

    def rows(self) -> Rows:
        """A row a sound."""
        schema = features.feature_schema(self._extractor.columns)
        kinds = {WatchingExtractor: features.with_film, PairExtractor: features.with_pair}
        transit = next((made for kind, made in kinds.items() if issubclass(self._extractor, kind)), features.with_sound)
        return Rows(ROWS_FOLDER, schema, transit(schema), "segment_id", embeddings_ledger)

    def renew(self, request: Request) -> None:
        """Forget files that could not be read and can now, besides."""
        super().renew(request)
        forget(request.output, ROWS_FOLDER, _HEARD, _mended)

    def plan(self, ledger: Ledger, tally: Tally) -> Plan[pa.Table]:
        """The sounds without a row."""
        ids = pack(self.sounds["sound_id"])
        planned = self.sounds.take(pa.array(ledger.unfinished(ids)))
        tally.plan(self.sounds.num_rows, planned.num_rows, ledger)
        tally.good_before = ledger.good_among(ids)
        tally.expect(pack(planned["sound_id"]), planned["name"].to_pylist())
        return Plan(planned, self.rows().table([]))

    def show(self, dry: DryRun[pa.Table]) -> dict[str, object]:
        """Nobody asks: the job that needs the sounds shows its own plan."""
        return {"job": self.name, "listed": dry.tally.listed, "to_do": dry.tally.planned}

    def check_start(self) -> None:
        """A checkpoint is read once before Ray starts."""
        if not issubclass(self._extractor, LoadedExtractor):
            return
        try:
            self._extractor.check(self.asking.weights)
        except ModelError as error:
            raise ConfigError(str(error)) from None

    def chain(self, items: pa.Table, output: str, pools: Pools) -> Dataset:
        """Read the sounds, then hear them; or look at their videos."""
        transit, guard, extractor = self.rows().transit, self.settings.decoder, self._extractor
        weights, protocol, size = self.asking.weights, self.asking.protocol, pools.segments_per_batch
        if issubclass(extractor, PairExtractor):
            read = ReadPairs(guard, extractor.seen, transit)
            data = self.between(run_tasks(from_tables(self._together(items)), read, pools), pools)
            return run_actors(data, HearPairs(weights, extractor, protocol), pools, batch_size=size)
        data = from_tables(_blocks(items, pools))
        if issubclass(extractor, WatchingExtractor):
            data = run_tasks(data, ReadFilms(guard, protocol, extractor, transit), pools)
            return run_actors(data, WatchFilms(weights, extractor), pools, batch_size=size)
        if not issubclass(extractor, HearingExtractor):
            return run_tasks(data, SeeVideos(guard, protocol, transit), pools)
        data = self.between(run_tasks(data, ReadSounds(guard, transit), pools), pools)
        return run_actors(data, HearSounds(weights, extractor, protocol), pools, batch_size=size)

    def _together(self, items: pa.Table) -> Iterator[pa.Table]:
        """Blocks of pairs whose videos lie in one row group, so that each is read by few tasks."""
        places, together = places_of(self.asking.seen, "segment_id"), dict[tuple[str | None, int | None], list[int]]()
        for row, video in enumerate(items["video_id"].to_pylist()):
            together.setdefault(places.get(video, (None, None)), []).append(row)
        for place, rows in together.items():
            block = items.take(pa.array(rows, pa.int64()))
            for field, value in zip(PLACE, place, strict=True):
                block = block.append_column(field, pa.array([value] * len(rows), field.type))
            yield block

    def between(self, data: Dataset, pools: Pools) -> Dataset:
        """What sounds go through before they are heard: nothing."""
        return data


class RoundTripExtraction(Extraction):
    """The same of what comes back from the generator's VAE and vocoder."""

    model_stages: ClassVar[int] = 2

    def between(self, data: Dataset, pools: Pools) -> Dataset:
        """Through both of them."""
        stage = ThroughModels(self.models.bundle, self.asking.protocol)
        return run_actors(data, stage, pools, batch_size=pools.segments_per_batch, gpu="beside")


def _mended(heard: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows are of a file that was another one, or none, and is the one that was meant."""
    unread = pc.and_(pc.equal(heard["status"], REJECTED), pc.equal(heard["reject_stage"], "read"))
    rejected = pc.and_(unread, pc.equal(heard["kind"], "audio")).to_numpy()
    chosen = np.zeros(heard.num_rows, bool)
    for row in np.flatnonzero(rejected):
        chosen[row] = is_whole(heard["source_uri"][row].as_py(), heard["content"][row].as_py())
    return chosen


def _blocks(items: pa.Table, pools: Pools) -> Iterator[pa.Table]:
    size = pools.sources_per_block or _SOUNDS_PER_BLOCK
    return (items.slice(start, size) for start in range(0, items.num_rows, size))
