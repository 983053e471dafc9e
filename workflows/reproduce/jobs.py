"""The configurations of the jobs that a reproduction calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from v2a_core.catalog import CatalogSettings
from v2a_core.config import ConfigError, build, load
from v2a_core.interpolation.config import InterpolationSettings
from workflows.embed.config import EmbedJob
from workflows.evaluate.config import EvaluateJob
from workflows.evaluate.extraction import chosen_weights
from workflows.generate.config import GenerateJob
from workflows.reproduce.asked import MINIATURE, Reproduce
from workflows.reproduce.config import AUTO
from workflows.train.sweep import Sweep, load_sweep

_CAPTIONER = "blip"


def embed_job(asked: Reproduce, catalog: CatalogSettings) -> EmbedJob:
    """How videos are seen and heard, listed in this way."""
    job = load(EmbedJob, job="embed", source=_source(asked, asked.settings.steps.embed))
    return job.model_copy(update={"catalog": catalog, "storage": asked.settings.storage})


def generate_job(asked: Reproduce, *, via_text: bool) -> GenerateJob:
    """How sounds are made."""
    overrides = [f"seed={asked.settings.seed}", *([f"via_text={_texts(asked)}"] if via_text else [])]
    job = load(GenerateJob, job="generate", source=_source(asked, asked.settings.steps.generate), overrides=overrides)
    return job.model_copy(update={"storage": asked.settings.storage})


def evaluate_job(asked: Reproduce) -> EvaluateJob:
    """How sounds are heard."""
    said = asked.settings.steps.evaluate
    job = load(EvaluateJob, job="evaluate", source=None if said == AUTO else said)
    return job.model_copy(update={"storage": asked.settings.storage})


def sweep_of(asked: Reproduce, runs: Sequence[str]) -> Sweep:
    """The mappers, so many of them."""
    said = asked.settings.steps.sweep
    shipped = "miniature-ablations" if asked.in_small else "paper-ablations"
    sweep = load_sweep(shipped if said == AUTO else said, [f"seed={asked.settings.seed}"])
    lacking = [name for name in runs if name not in sweep.jobs]
    if lacking:
        raise ConfigError(f"steps.sweep = {said}: it has no run {lacking[0]!r}; paper-ablations names those it needs")
    jobs = {name: sweep.jobs[name].model_copy(update={"storage": asked.settings.storage}) for name in runs}
    file = sweep.file.model_copy(update={"runs": {name: sweep.file.runs[name] for name in runs}})
    return Sweep(file, jobs)


def interpolation_settings(asked: Reproduce) -> InterpolationSettings:
    """How figure 7 is made: as the sounds of the tables are."""
    made = generate_job(asked, via_text=False)
    values: dict[str, Any] = {
        "steps": asked.settings.interpolated,
        "duration_s": min(made.segments.length_s, made.generator.max_duration_s),
        "seed": asked.settings.seed,
        "frames": made.frames.model_dump(),
        "sampling": made.sampling.model_dump() if made.sampling else None,
        "generator": made.generator.model_dump(),
    }
    return build(InterpolationSettings, values)


def check(asked: Reproduce) -> None:
    """Read all of them, so that a wrong one is told before anything runs.

    Raises:
        ConfigError: Naming the file and the key.
    """
    embed_job(asked, asked.settings.catalog)
    generate_job(asked, via_text=False)
    evaluate_job(asked)
    for runs in asked.selection.mappers().values():
        sweep_of(asked, runs)


def check_weights(asked: Reproduce) -> None:
    """Fetch what captions and what hears, so that what cannot be had is told before hours of work.

    Raises:
        ConfigError: When weights cannot be had.
    """
    if any(system.via_text for system in asked.selection.systems()):
        made = generate_job(asked, via_text=True)
        if made.captions:
            made.captioner.check()
    if asked.selection.names():
        chosen_weights(evaluate_job(asked))


def _texts(asked: Reproduce) -> str:
    """What leads to sound via text. Nobody trained a captioner for the miniature world: it has captions."""
    said = asked.settings.via_text
    if said != AUTO:
        return said
    return "caption" if asked.in_small else _CAPTIONER


def _source(asked: Reproduce, said: str) -> str:
    if said != AUTO:
        return said
    return MINIATURE if asked.in_small else "paper"
