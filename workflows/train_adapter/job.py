"""`v2a train-adapter`: sounds -> an adapter of a bundle's frozen generator."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from v2a_core import storage
from v2a_core.catalog.apart import check_apart
from v2a_core.config import ConfigError
from v2a_core.generators.adapters import AdapterConfig, save_adapter
from v2a_core.models import LocalBundle, load_bundle
from v2a_core.models.parts import ADAPTER_FILE
from v2a_core.outputs import manifest
from v2a_core.outputs.manifest import Manifest
from v2a_core.storage import StorageAccess
from v2a_core.training.selection import Selection, select
from workflows.cluster_runtime import connection
from workflows.command.arguments import AskedOfCatalog
from workflows.streaming.catalog_job import run_catalog
from workflows.streaming.job import Models, Request
from workflows.streaming.listing import Listing
from workflows.streaming.run import describe_bundle
from workflows.train_adapter.config import AdapterJob
from workflows.train_adapter.hearing import Hearing
from workflows.train_adapter.work import AdapterWork
from workflows.training.fit import check_resources
from workflows.training.plan import resources, schedule
from workflows.training.run import Training, TrainRequest, identity_of, run_training
from workflows.training.summary import Checkpointed, TrainSummary, sentence, told_of

NAME = AdapterWork.name
SOUNDS = "sounds"  # in the output: what was heard
# What changes how sounds come to rows, not what is in them, beside what is so of every training.
_BESIDE: dict[str, Any] = dict.fromkeys(("catalog", "decoder", "output", "limits", "pools", "encoders"), True)


def run(audio: Sequence[str], output: str, job: AdapterJob, **asked: Unpack[AskedOfCatalog]) -> dict[str, Any]:
    """Hear what is not heard yet, train an adapter, or go on training it, and export its best state.

    Args:
        audio: Sound files, videos, folders of them, globs, prefixes, shards or tables.
        output: Folder or URI of the adapter; what was heard, and a run that was cut short there, is gone on with.
        job: The configuration.
        asked: Models, limit, dry run, ..., as `AskedOfCatalog` says.

    Returns:
        The summary, as written to `summary.json`; for a dry run the plan.

    Raises:
        ConfigError: Wrong configuration, an empty catalog, or an output that was made differently.
        TooManyRejectsError: More rejected sounds than the limits allow, or nothing good at all.
        UnfinishedError: Some sounds could not be fetched; the next run tries them again.
        TrainingStoppedError: When the training diverged, or got no better for `validation.patience`.
    """
    started = time.monotonic()
    check_apart(audio, output)
    request = Request(output, **asked)
    with storage.reach(StorageAccess.of_job(job.storage, output, job.output_storage)):
        output = storage.canonical(output)
        manifest.check_own(output, NAME)
        local = load_bundle(request.models).resolve()
        _check(local, job)
        place = storage.join(output, SOUNDS)
        if not _is_done(place):
            connection.connect(request.address)
            check_resources(job.scaling)  # before hours of hearing, not after them
        heard = _hear(audio, place, job, request)
        asked_of_training = TrainRequest(output, request.limit, request.dry_run, request.address, request.steal)
        selection = _select(output, job, request)
        if selection is None:
            return {"job": NAME, "output": output, "sounds": heard, **_untold(job, local)}
        work = AdapterWork(job, output, selection, load_bundle(request.models))
        told = run_training(asked_of_training, AdapterTraining(work, local), started)
        return {**told, "sounds": heard} if request.dry_run else told


def _is_done(place: str) -> bool:
    """Whether an earlier run has heard all that it listed; then there may be nothing to do, and no need of Ray."""
    try:
        return manifest.load(place).get("status") == "done"
    except FileNotFoundError:
        return False


def _hear(audio: Sequence[str], place: str, job: AdapterJob, request: Request) -> dict[str, Any]:
    """The first half; for a dry run its plan."""

    def opened(models: Models, listing: Listing) -> Hearing:
        from v2a_core.generators.audioldm.checkpoint import audioldm_source
        from v2a_core.generators.audioldm.components import read_sizes

        sizes = read_sizes(audioldm_source(models.local.generator))
        return Hearing(models, job, listing, sizes.latent_channels * sizes.latent_bins)

    asked = dataclasses.replace(request, output=place)
    return run_catalog(asked, Hearing.name, audio, job, opened, heard=True)


def _check(local: LocalBundle, job: AdapterJob) -> None:
    """Refuse what could only fail after all sounds are heard.

    Raises:
        ConfigError: For another generator than AudioLDM, or segments longer than CLAP hears.
    """
    from v2a_core.stages.lessons import check_teaches

    check_teaches(local)
    spec = local.media_spec()
    most_s = spec.audio_samples / spec.audio_sample_rate
    if job.segments.whole or job.segments.length_s > most_s:
        raise ConfigError(
            f"segments.length_s = {job.segments.length_s:g}: the audio encoder of the bundle {local.name!r} hears "
            f"{most_s:g} s at once; say --set segments.length_s={most_s:g}, or less, and leave segments.whole out"
        )


def _select(output: str, job: AdapterJob, request: Request) -> Selection | None:
    """The sounds that are learned from; None in a dry run before any is heard."""
    try:
        return select(storage.join(output, SOUNDS), job.data, request.limit)
    except ConfigError:
        if request.dry_run:
            return None
        raise


def _untold(job: AdapterJob, local: LocalBundle) -> dict[str, object]:
    """What a dry run can say of a training whose sounds nobody has heard."""
    from v2a_core.training.adapter import count_parameters

    return {"parameters": count_parameters(local, job.adapter), "steps": None}


@dataclass(frozen=True)
class AdapterTraining(Training[AdapterJob]):
    """Rows of sounds become an adapter.

    Attributes:
        local: The bundle.
    """

    work: AdapterWork
    local: LocalBundle

    @property
    def inputs(self) -> Sequence[str]:
        """What was heard lies in the output."""
        return []

    @property
    def file(self) -> str:
        """The adapter's."""
        return ADAPTER_FILE

    def manifest(self, request: TrainRequest) -> Manifest:
        """The sounds, the generator, and all that decides what is learned from them."""
        job, local = self.work.job, self.local
        fingerprints = local.fingerprints()
        return manifest.new(
            NAME,
            identity={
                "sounds": self.work.selection.fingerprint(),
                "audio": fingerprints["audio"],
                "generator": fingerprints["generator"],
                "limit": request.limit,
                **identity_of(job, _BESIDE),
            },
            config=job.model_dump(),
            bundle=describe_bundle(local),
            spaces={"audio": local.audio_space},
        )

    def parameters(self) -> int:
        """Of the adapter."""
        from v2a_core.training.adapter import count_parameters

        return count_parameters(self.local, self.work.job.adapter)

    def plan(self, checked: Mapping[str, object], *, finished: bool) -> dict[str, object]:
        """Sounds, parameters, steps, resources."""
        work = self.work
        return {
            "job": NAME,
            "output": work.output,
            "storage": checked,
            **schedule(work, work.rows()),
            "left_out": work.selection.left_out,
            "parameters": self.parameters(),
            "finished": finished,
            **resources(work),
        }

    def export(self, last: Checkpointed, summary: TrainSummary, claimed: Manifest) -> None:
        """The best adapter."""
        import safetensors.torch

        save_adapter(self.work.output, safetensors.torch.load_file(last.weights), self._described(summary))

    def sentence(self, summary: TrainSummary) -> str:
        """How far the generator is off with curves, without and with others."""
        return sentence(summary, "sounds", ["loss_free", "loss_others"])

    def _described(self, summary: TrainSummary) -> AdapterConfig:
        from v2a_core.training.adapter import describe

        job = self.work.job
        training = {**told_of(summary), "settings": job.training.model_dump(), "lessons": job.lessons.model_dump()}
        return describe(self.local, job.adapter, training)
