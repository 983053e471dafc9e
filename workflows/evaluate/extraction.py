"""Hearing sounds with a published network: a folder a network, a row a sound, and only what is missing is heard."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from ray.data import Dataset

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.media.config import GuardSettings
from v2a_core.metrics.extractors.network import NetworkSettings, Weights, find_weights, network, networks
from v2a_core.metrics.hearing_protocols import PROTOCOLS, Protocol
from v2a_core.models import ModelError
from v2a_core.outputs.ledger import Ledger, embeddings_ledger
from v2a_core.protocols import JSON
from v2a_core.stages.sounds import hear_sounds, read_sound
from v2a_core.tables import features
from v2a_core.tables.schema import ROWS_FOLDER
from workflows.cluster_runtime.pools import Pools, device
from workflows.command.arguments import Asked
from workflows.evaluate.config import EvaluateJob
from workflows.streaming.job import DryRun, Identity, Models, Plan, Request, Rows, StreamingJob
from workflows.streaming.plan import from_tables
from workflows.streaming.run import Entrance
from workflows.streaming.run import run as run_streaming
from workflows.streaming.stages import ActorStage, run_actors, run_tasks
from workflows.streaming.summary import NothingMadeError, Tally

_SOUNDS_PER_BLOCK = 8
_DIGITS = 12  # of the sha256 of weights, in the name of a folder


def chosen_weights(job: EvaluateJob) -> dict[str, Weights]:
    """The networks whose weights the settings name.

    Raises:
        ConfigError: When they cannot be had, or have another sha256 than the settings say.
    """
    found = {name: find_weights(name, job.extractors.own(name, NetworkSettings)) for name in networks()}
    return {name: weights for name, weights in found.items() if weights is not None}


def feature_folder(place: str, weights: Weights, protocol: Protocol) -> str:
    """Where in a place lies what a network heard by a protocol."""
    return storage.join(place, weights.extractor, f"{weights.sha256[:_DIGITS]}-{protocol.name}")


def extract(place: str, sounds: pa.Table, weights: Weights, job: EvaluateJob, asked: Asked) -> str:
    """Hear the sounds that the network has not heard yet.

    Args:
        place: Folder or URI that holds a folder a network.
        sounds: Of `features.SOUNDS`.
        weights: Of the network.
        job: The configuration.
        asked: Models, address, ...

    Returns:
        Folder or URI of its rows.
    """
    output = feature_folder(place, weights, PROTOCOLS[job.protocol])
    entrance = Entrance(
        Extraction.name,
        job,
        inputs=[],
        listed=lambda _: sounds,
        opened=functools.partial(_open, job, weights),
    )
    asked = {**asked, "limit": None, "dry_run": False}
    try:
        run_streaming(Request(output, **asked), entrance)
    except NothingMadeError as error:
        print(f"extract: {error}", flush=True)  # each of them has a row that says why
    return storage.join(output, ROWS_FOLDER)


def _open(job: EvaluateJob, weights: Weights, models: Models, sounds: pa.Table) -> Extraction:
    return Extraction(models, job, weights, sounds)


@dataclass(frozen=True)
class ReadSounds:
    """Rows of `features.SOUNDS` in, sounds out."""

    guard: GuardSettings
    schema: pa.Schema

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Read a block of sounds, one at a time."""
        for item in batch.to_pylist():
            yield pa.Table.from_pylist([read_sound(item, self.guard)], schema=self.schema)


@dataclass(frozen=True)
class HearSounds(ActorStage):
    """Sounds in, what the network finds out; an actor holds the network."""

    weights: Weights
    protocol: Protocol

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Fetch the weights where they are not there, and load them."""
        component = network(self.weights.extractor)
        extractor = component(self.weights.path(), device())
        return lambda batch: hear_sounds(batch, extractor, self.protocol)


@dataclass(frozen=True)
class Extraction(StreamingJob[pa.Table]):
    """Sounds become rows with what a network found out about them.

    Attributes:
        settings: The configuration.
        weights: Of the network.
        sounds: Of `features.SOUNDS`, each once.
    """

    name: ClassVar[str] = "extract"
    stage_columns: ClassVar[Mapping[str, str]] = {"read": "read_s", "extract": "extract_s"}
    settings: EvaluateJob
    weights: Weights
    sounds: pa.Table

    def identity(self) -> Identity:
        """The network, its weights, and what it hears of a sound."""
        weights = self.weights
        content: dict[str, JSON] = {
            "extractor": weights.extractor,
            "sha256": weights.sha256,
            "protocol": dict(PROTOCOLS[self.settings.protocol].describe()),
        }
        return Identity(content, {})

    def rows(self) -> Rows:
        """A row a sound."""
        schema = features.feature_schema(network(self.weights.extractor).columns)
        return Rows(ROWS_FOLDER, schema, features.with_sound(schema), "segment_id", embeddings_ledger)

    def plan(self, ledger: Ledger, tally: Tally) -> Plan[pa.Table]:
        """The sounds without a row."""
        ids = self.sounds["sound_id"]
        planned = self.sounds.filter(pc.invert(pc.is_in(ids, value_set=ledger.complete)))
        tally.plan(self.sounds.num_rows, planned.num_rows, ledger)
        tally.good_before = ledger.good_among(ids.to_pylist())
        tally.expected = dict(zip(planned["sound_id"].to_pylist(), planned["name"].to_pylist(), strict=True))
        return Plan(planned, self.rows().table([]))

    def show(self, dry: DryRun[pa.Table]) -> dict[str, object]:
        """Nobody asks: the job that needs the sounds shows its own plan."""
        return {"job": self.name, "listed": dry.tally.listed, "to_do": dry.tally.planned}

    def check_start(self) -> None:
        """The checkpoint is read once before Ray starts."""
        try:
            network(self.weights.extractor).load(self.weights.path())
        except ModelError as error:
            raise ConfigError(str(error)) from None

    def chain(self, items: pa.Table, output: str, pools: Pools) -> Dataset:
        """Read the sounds, then hear them."""
        size = pools.sources_per_block or _SOUNDS_PER_BLOCK
        data = from_tables(items.slice(start, size) for start in range(0, items.num_rows, size))
        data = run_tasks(data, ReadSounds(self.settings.decoder, self.rows().transit), pools)
        hearing = HearSounds(self.weights, PROTOCOLS[self.settings.protocol])
        return run_actors(data, hearing, pools, batch_size=pools.segments_per_batch)
