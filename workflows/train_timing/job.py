"""`v2a train-timing`: embeddings with denser frames -> a curve predictor."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.models.parts import PREDICTOR_FILE
from v2a_core.outputs import manifest
from v2a_core.outputs.manifest import Manifest
from v2a_core.protocols import CURVE_HZ
from v2a_core.storage import StorageAccess
from v2a_core.timing.predictors.trained import SCHEMA_VERSION, TrainedConfig, save_predictor
from v2a_core.training.beside import join
from v2a_core.training.reading import check_models, read_manifests
from v2a_core.training.selection import select
from v2a_core.training.watched import leave_out
from workflows.train_timing.config import TimingJob
from workflows.train_timing.work import TimingWork
from workflows.training.plan import resources, schedule
from workflows.training.run import Training, TrainRequest, identity_of, run_training
from workflows.training.summary import Checkpointed, TrainSummary, sentence, told_of

NEEDED = (
    "embed the catalog with denser frames, --set frames.timing_fps=10: what is looked at, and the sound's level and "
    "onsets beside it"
)


def run(
    embeddings: str,
    output: str,
    job: TimingJob,
    *,
    beside: str | None = None,
    models: str | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    address: str | None = None,
    steal: bool = False,
) -> dict[str, Any]:
    """Train a curve predictor, or go on training it, and export its best state.

    Args:
        embeddings: Folder or URI that `v2a embed` wrote, with `frames.timing_fps`.
        output: Folder or URI of the predictor; a run that was cut short there goes on from its last checkpoint.
        job: The configuration.
        beside: Folder or URI that `v2a embed --beside` wrote for them: the predictor looks with its encoder.
        models: A bundle that the embeddings must be of; None takes any.
        limit: Take the first `limit` sources only.
        dry_run: Plan and check, do nothing.
        address: A running Ray cluster; Ray starts, or is connected to, only when there is something to do.
        steal: Take the output over from the run that owns it.

    Returns:
        The summary, as written to `summary.json`; for a dry run the plan.

    Raises:
        ConfigError: Wrong configuration, embeddings that cannot be used, or an output that was made differently.
        TrainingStoppedError: When the training diverged, or got no better for `validation.patience`.
    """
    started = time.monotonic()
    with storage.reach(StorageAccess.of_job(job.storage, output, job.output_storage)):
        request = TrainRequest(storage.canonical(output), limit, dry_run, address, steal)
        return run_training(request, _open(storage.canonical(embeddings), beside, job, models, request), started)


def _open(
    embeddings: str, beside: str | None, job: TimingJob, models: str | None, request: TrainRequest
) -> TimingTraining:
    beside = beside and storage.canonical(beside)
    made_by, sidecar = read_manifests(embeddings, beside, job.data)
    check_models(models, made_by, beside or embeddings)
    rate = _rate(f"{embeddings} with {beside}" if beside else embeddings, made_by)
    length_s = float(cast(float, manifest.group(made_by["identity"], "segments")["length_s"]))
    selection = leave_out(join(select(embeddings, job.data, request.limit), embeddings, sidecar))
    return TimingTraining(TimingWork(job, request.output, selection, rate, length_s), embeddings, beside, made_by)


def _rate(embeddings: str, made_by: Manifest) -> int:
    """Frames a second of the denser frames.

    Raises:
        ConfigError: When there are none, nothing was heard beside them, or they do not lie on a curve's values.
    """
    rate = float(cast(float, manifest.group(made_by["identity"], "frames").get("timing_fps") or 0.0))
    if not rate or "timing" not in made_by["identity"]:
        raise ConfigError(f"{embeddings} holds nothing to learn from when things sound: {NEEDED}")
    if rate != int(rate) or CURVE_HZ % int(rate):
        rates = ", ".join(str(value) for value in range(1, CURVE_HZ + 1) if CURVE_HZ % value == 0)
        raise ConfigError(
            f"{embeddings} has frames.timing_fps = {rate:g}, which is no divisor of a curve's {CURVE_HZ} values a "
            f"second: embed with one of {rates}"
        )
    return int(rate)


@dataclass(frozen=True)
class TimingTraining(Training[TimingJob]):
    """Segments become a predictor.

    Attributes:
        embeddings: Folder or URI.
        beside: Folder or URI of what lies beside them; None: nothing is read of any.
        made_by: Their manifest, of both.
    """

    work: TimingWork
    embeddings: str
    beside: str | None
    made_by: Manifest

    @property
    def inputs(self) -> Sequence[str]:
        """The embeddings, and what lies beside them."""
        return [self.embeddings, *([self.beside] if self.beside else [])]

    @property
    def file(self) -> str:
        """The predictor's."""
        return PREDICTOR_FILE

    def manifest(self, request: TrainRequest) -> Manifest:
        """The embeddings, and all that decides what is learned from them."""
        job, space = self.work.job, self.made_by["spaces"]["vision"]
        return manifest.new(
            self.work.name,
            identity={
                "embeddings": self.work.selection.fingerprint(),
                "vision_space": space,
                "frames_per_second": self.work.rate,
                "limit": request.limit,
                **identity_of(job),
            },
            config=job.model_dump(),
            bundle=self.made_by.get("bundle", {}),
            spaces={"vision": space},
        )

    def parameters(self) -> int:
        """Of the predictor."""
        from v2a_core.models.unset import Described
        from v2a_core.timing.predictors.gru_network import TimingNetwork

        network = self.work.job.predictor
        with Described():
            made = TimingNetwork(
                self.work.selection.vision_dim, CURVE_HZ // self.work.rate, network.width, network.hidden
            )
        return sum(parameter.numel() for parameter in made.parameters())

    def plan(self, checked: Mapping[str, object], *, finished: bool) -> dict[str, object]:
        """Segments, parameters, steps, memory, resources."""
        selection, work = self.work.selection, self.work
        rows = selection.counts()
        frame_bytes = 2 * selection.vision_dim + 4 + 8 * CURVE_HZ // work.rate
        gib = (rows["train"] + rows["validation"]) * work.length_s * work.rate * frame_bytes / 2**30
        return {
            "job": work.name,
            "embeddings": self.embeddings,
            **({"beside": self.beside} if self.beside else {}),
            "output": work.output,
            "storage": checked,
            **schedule(work, rows),
            "left_out": selection.left_out,
            "frames_per_second": work.rate,
            "parameters": self.parameters(),
            "memory": f"{gib:.2f} GiB of segments, shared among {work.job.scaling.workers} workers",
            "finished": finished,
            **resources(work),
        }

    def export(self, last: Checkpointed, summary: TrainSummary, claimed: Manifest) -> None:
        """The best predictor, and how sure it may be."""
        import safetensors.torch

        best, network = cast(Mapping[str, float], summary["best"]), self.work.job.predictor
        config = TrainedConfig(
            schema_version=SCHEMA_VERSION,
            kind="gru",
            vision_space=claimed["spaces"]["vision"],
            vision_dim=self.work.selection.vision_dim,
            frames_per_second=self.work.rate,
            width=network.width,
            hidden=network.hidden,
            onset_threshold=best["validation_threshold"],
            sure_spread=best["validation_sure_spread"],
            unsure_spread=best["validation_unsure_spread"],
            training={
                **told_of(summary),
                "embeddings": self.embeddings,
                **({"beside": self.beside} if self.beside else {}),
                "settings": self.work.job.training.model_dump(),
            },
        )
        save_predictor(self.work.output, safetensors.torch.load_file(last.weights), config)

    def sentence(self, summary: TrainSummary) -> str:
        """How well the best predictor does."""
        return sentence(summary, "segments", ["correlation", "onsets"])
