"""`v2a evaluate`: soundtracks and references -> metrics, as JSON, a table, and a row a segment in Parquet."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import pyarrow as pa
import pyarrow.compute as pc
from ray.data import Dataset

from v2a_core import storage
from v2a_core.compute.ids import pack
from v2a_core.media.config import SegmentSettings
from v2a_core.metrics import inputs
from v2a_core.metrics.extractors.clap import CLAP
from v2a_core.metrics.extractors.folder import Weights
from v2a_core.metrics.extractors.schema import evaluated_schema, read_schema
from v2a_core.metrics.hearing_protocols import PROTOCOLS
from v2a_core.metrics.systems.clap_sets import ClapSounds
from v2a_core.metrics.systems.sets import of_index, originals_of
from v2a_core.outputs import manifest, unfinished
from v2a_core.outputs.ledger import Ledger, embeddings_ledger
from v2a_core.outputs.manifest import Manifest
from v2a_core.protocols import JSON
from v2a_core.stages.listen import ReadSettings, described, sound_extractors
from v2a_core.stages.round_trip import check_round_trip
from v2a_core.tables.evaluated import ABOUT
from v2a_core.tables.features import SOUNDS
from v2a_core.tables.schema import ROWS_FOLDER
from v2a_core.verification.retry import forget
from workflows.cluster_runtime.pools import Pools
from workflows.command.arguments import Asked
from workflows.evaluate.asides import MADE, REFERENCES, RIDERS, FolderAside, kind_folder
from workflows.evaluate.config import EvaluateJob
from workflows.evaluate.extraction import Asking, Extraction, bundle_weights, chosen_weights
from workflows.evaluate.report import SYSTEM, References, Reported, report
from workflows.evaluate.sets import Compared, compare, feature_outputs
from workflows.evaluate.stages import ListenStage, ReadStage
from workflows.streaming.job import Aside, DryRun, Identity, Models, Plan, Request, Rows, StreamingJob
from workflows.streaming.plan import from_tables
from workflows.streaming.run import Entrance
from workflows.streaming.run import run as run_streaming
from workflows.streaming.stages import run_actors, run_tasks
from workflows.streaming.summary import Tally

_SOUNDTRACKS_PER_BLOCK = 4
LISTEN = "listen"  # the job of one of several systems


def run(
    soundtracks: str, output: str, job: EvaluateJob, *, embeddings: str | None = None, **asked: Unpack[Asked]
) -> dict[str, Any]:
    """Evaluate the soundtracks that have no row yet, then compute all metrics over all rows.

    Args:
        soundtracks: Folder or URI that `v2a generate` wrote.
        output: Folder or URI: `metrics.json`, `metrics.md`, `rows/`, manifest and summary.
        job: The configuration.
        embeddings: Folder or URI that `v2a embed` wrote: its CLAP embeddings are the references instead of the
            originals'; those of the same segments if there are any, else all as a set.
        asked: Models, whose CLAP the soundtracks were made for, limit, dry run, ..., as `Asked` says.

    Returns:
        The summary, as written to `summary.json`, with the metrics.

    Raises:
        ConfigError: Wrong configuration, no soundtracks, other embedding spaces, or an output made differently.
        TooManyRejectsError: More unreadable soundtracks than the limits allow, or none that is readable.
        UnfinishedError: Some soundtracks could not be fetched; the next run tries them again.
    """
    # Workers do not stand where the command was given.
    soundtracks, output = storage.canonical(soundtracks), storage.canonical(output)

    def listed(first: int | None) -> Soundtracks:
        made_by = inputs.read_manifest(soundtracks, allow_unfinished=job.allow_unfinished)
        # Of the output's id, not of where it is: outputs may be moved.
        identity: dict[str, JSON] = {"soundtracks": made_by["output_id"], "made_by": made_by["identity"]}
        segments, index = inputs.segments_of(made_by), inputs.read_index(soundtracks, first)
        return Soundtracks(soundtracks, index, segments, identity, made_by)

    entrance = Entrance(
        Evaluation.name,
        job,
        inputs=[soundtracks],
        listed=listed,
        opened=functools.partial(open_evaluation, job, embeddings, chosen_weights(job), asked, output),
    )
    return run_streaming(Request(output, **asked), entrance)


@dataclass(frozen=True)
class Soundtracks:
    """What is evaluated.

    Attributes:
        place: Folder or URI.
        index: The good rows of their index.
        segments: How they were cut.
        identity: What they are, wherever they lie.
        made_by: The manifest of the job that made them; None: of another program.
    """

    place: str
    index: pa.Table
    segments: SegmentSettings
    identity: Mapping[str, JSON]
    made_by: Manifest | None = None


def open_evaluation(
    job: EvaluateJob,
    embeddings: str | None,
    networks: Mapping[str, Weights],
    asked: Asked,
    place: str,
    models: Models,
    soundtracks: Soundtracks,
) -> Evaluation:
    """The evaluation of soundtracks, checked against the models.

    Args:
        job: The configuration.
        embeddings: Folder or URI that `v2a embed` wrote, to compare with instead of the originals.
        networks: Weights of each network that is used: they are large, and read once.
        asked: What else was asked of the run.
        place: Folder or URI that holds `features/`.
        models: The models.
        soundtracks: What is evaluated.

    Raises:
        ConfigError: When they do not fit.
    """
    local = models.local
    if soundtracks.made_by is not None:
        inputs.check_space(soundtracks.place, soundtracks.made_by, local)
    if job.round_trip:
        check_round_trip(local)
    references = References(embeddings, inputs.read_references(embeddings, local)) if embeddings else None
    weights = {**networks, **bundle_weights(job, models.bundle, local)}
    kind = SystemListening if soundtracks.made_by is None else Evaluation
    return kind(models, job, soundtracks, references, weights, asked, place)


@dataclass(frozen=True)
class Evaluation(StreamingJob[pa.Table]):
    """Soundtracks become rows with all that metrics need, and metrics.

    Attributes:
        settings: The configuration.
        soundtracks: What is evaluated.
        references: Embeddings to compare with instead of the originals.
        weights: Of each extractor with a folder of its own that is used.
        asked: What else was asked of the run.
        place: Folder or URI that holds `features/`.
    """

    name: ClassVar[str] = "evaluate"
    stage_columns: ClassVar[Mapping[str, str]] = {"read": "read_s", "embed": "embed_s"}
    settings: EvaluateJob
    soundtracks: Soundtracks
    references: References | None
    weights: Mapping[str, Weights]
    asked: Asked
    place: str

    @property
    def _riders(self) -> list[Weights]:
        """The extractors with folders of their own that hear in the same pass."""
        return [self.weights[name] for name in RIDERS if name in self.weights]

    def identity(self) -> Identity:
        """The soundtracks, and what hears them."""
        local, references = self.models.local, self.references
        content: dict[str, JSON] = {
            **self.soundtracks.identity,
            "originals": self.settings.originals,
            "protocol": self.settings.protocol,
            "extractors": described(self.settings.extractors, local),
            "embeddings": manifest.read(references.place, job="embed")["output_id"] if references else None,
        }
        return Identity(content, {"audio": local.audio_space})

    def rows(self) -> Rows:
        """A row a segment of a soundtrack."""
        metadata = {"audio_space": self.models.local.audio_space}
        return Rows(ROWS_FOLDER, evaluated_schema(), read_schema(), "segment_id", embeddings_ledger, metadata)

    def renew(self, request: Request) -> None:
        """Forget the rows of soundtracks that are others now."""
        soundtracks = self.soundtracks
        made_again = inputs.made_again(soundtracks.index, soundtracks.place)
        forget(request.output, ROWS_FOLDER, inputs.HEARD, made_again)

    def plan(self, ledger: Ledger, tally: Tally) -> Plan[pa.Table]:
        """The soundtracks without all of their rows."""
        index = self.soundtracks.index
        ids = pack(index["source_id"])
        planned = index.take(pa.array(ledger.unfinished(ids)))
        tally.plan(index.num_rows, planned.num_rows, ledger)
        tally.good_before = ledger.good_among(ids)
        tally.expect(pack(planned["source_id"]), planned["source_name"].to_pylist())
        return Plan(planned, self.rows().table([]))

    def show(self, dry: DryRun[pa.Table]) -> dict[str, object]:
        """What is listed and what is left to do; for that no Ray starts."""
        plan: dict[str, object] = {
            "job": self.name,
            "soundtracks": self.soundtracks.place,
            "output": dry.request.output,
            "storage": dry.checked,
            "listed": dry.tally.listed,
            "done_before": dry.tally.done_before,
            "to_do": dry.tally.planned,
        }
        print(json.dumps(plan, indent=2, ensure_ascii=False), flush=True)
        return plan

    def chain(self, items: pa.Table, output: str, pools: Pools) -> Dataset:
        """Read soundtracks and originals, then embed them."""
        job, models, soundtracks = self.settings, self.models, self.soundtracks
        table = inputs.with_sources(items, job.originals)
        size = pools.sources_per_block or _SOUNDTRACKS_PER_BLOCK
        data = from_tables(table.slice(start, size) for start in range(0, table.num_rows, size))
        segments, spec = soundtracks.segments, models.local.media_spec()
        describing, protocol = sound_extractors(job.extractors), PROTOCOLS[job.protocol]
        reading = ReadSettings(soundtracks.place, segments, job.decoder, spec, protocol, job.originals, describing)
        # Originals are decoded as in `embed`: CPU tasks, the codec in a process of its own.
        data = run_tasks(data, ReadStage(reading), pools)
        listening = ListenStage(
            models.bundle,
            job.extractors,
            protocol,
            riders=self._riders,
            given=self.references is not None,
        )
        return run_actors(data, listening, pools, batch_size=pools.segments_per_batch)

    def asides(self, output: str, before_commit: Callable[[], None]) -> list[Aside]:
        """The folders of those that ride along."""
        found: list[Aside] = []
        for weights in self._riders:
            asking = Asking(weights, PROTOCOLS[self.settings.protocol])
            extraction = Extraction(self.models, self.settings, asking, SOUNDS.empty_table())
            kinds = zip(ABOUT, (MADE, REFERENCES), strict=True)
            for about, kind in list(kinds)[: 2 if self._hears_originals(weights) else 1]:
                folder = kind_folder(self.place, kind, asking)
                found.append(FolderAside(folder, about, extraction, before_commit))
        return found

    def _hears_originals(self, weights: Weights) -> bool:
        return self.settings.originals and (self.references is None or weights.extractor != CLAP)

    def tell(self, output: str) -> dict[str, JSON]:
        """The metrics, over all rows of these soundtracks."""
        place, index, local = self.soundtracks.place, self.soundtracks.index, self.models.local
        facts = Reported(output, place, local, self.weights)
        compared = self._compared(output)
        measured = compare(compared, self.settings, self.asked)
        metrics = report(facts, index, self.references, measured, self.settings)
        outputs: list[JSON] = [*feature_outputs(compared)]
        return {**super().tell(output), "metrics": metrics, "outputs": outputs}

    def _compared(self, output: str) -> Compared:
        """What is measured as a whole set: of the soundtracks that could be fetched."""
        soundtracks, job, local = self.soundtracks, self.settings, self.models.local
        length_s, references = soundtracks.segments.length_s, self.references
        waiting = unfinished.read(output)["source_id"].combine_chunks()  # until the next run
        index = soundtracks.index.filter(pc.invert(pc.is_in(soundtracks.index["source_id"], value_set=waiting)))
        made = of_index(index, soundtracks.place, length_s)
        originals = originals_of(inputs.with_sources(index, True), length_s) if job.originals else None
        given = references.embeddings if references else None
        clap = ClapSounds(made.members(), originals.members() if originals else {}, given)
        columns = (index[name].to_pylist() for name in ("segment_ids", "source_name"))
        names = {segment: name for segments, name in zip(*columns, strict=True) for segment in segments}
        return Compared(
            output,
            {SYSTEM: made},
            originals,
            references.place if references else None,
            self.weights,
            PROTOCOLS[job.protocol],
            {SYSTEM: clap.named(names)},
            round_trip=local.fingerprints()["generator"] if job.round_trip else "",
        )


@dataclass(frozen=True)
class SystemListening(Evaluation):
    """The rows of one of several systems, which are measured when those of all are there."""

    name: ClassVar[str] = LISTEN

    def tell(self, output: str) -> dict[str, JSON]:
        """No metrics."""
        return StreamingJob.tell(self, output)
