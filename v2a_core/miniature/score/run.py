"""The score of a bundle on the small world: one command, one table, every number with its target."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.generators.adapters import check_adapter
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.metrics.base import Score
from v2a_core.metrics.extractors.verdicts import own_judge
from v2a_core.miniature.score.clocks import slower_line, time_a_clip
from v2a_core.miniature.score.config import ScoreSettings
from v2a_core.miniature.score.followed_lines import must_follow
from v2a_core.miniature.score.following import follow_all, join_all
from v2a_core.miniature.score.judgement import accuracy, compare, must_hold, orderings, score_systems
from v2a_core.miniature.score.lines import lines_table
from v2a_core.miniature.score.mapping import without_mapper
from v2a_core.miniature.score.report import ScoreReport
from v2a_core.miniature.score.studio import Crew, Studio
from v2a_core.miniature.score.systems import PAPER, HeldOut, kinds_of, make_all, observe_held_out, train_mappers
from v2a_core.miniature.score.zero_shot import class_embeddings, clip_text, nearest
from v2a_core.miniature.world import KINDS
from v2a_core.models import LocalBundle, load_bundle
from v2a_core.protocols import JSON

FOLLOWING_FILE = "following.json"


def score(
    bundle: str,
    *,
    output: Path | None = None,
    per_class: int | None = None,
    seed: int = 0,
    settings: ScoreSettings | None = None,
    judge: Path | None = None,
) -> dict[str, JSON]:
    """Measure a bundle on held-out scenes of the small world and print the table.

    Args:
        bundle: A bundle's name or file.
        output: Folder for `score.json` and `score.md`.
        per_class: Held-out scenes of each kind, instead of what the settings say.
        seed: Of the generator's noise and of the mappers' weights.
        settings: How much is measured.
        judge: Folder of the judge; default: the one beside the bundle's models.

    Returns:
        The score as plain data, as in `score.json`.
    """
    settings = settings or ScoreSettings()
    if per_class is not None:
        settings = settings.model_copy(update={"per_class": per_class})
    local = load_bundle(bundle).resolve()
    if local.adapter is not None:
        check_adapter(local.adapter, local)
    judge = judge or _own_judge(local)
    report = _measure(local, judge, settings, seed)
    print(report.to_markdown(), flush=True)
    if output is not None:
        report.write(output)
    return report.to_dict()


def score_following(
    bundle: str,
    *,
    output: Path | None = None,
    per_class: int | None = None,
    seed: int = 0,
    settings: ScoreSettings | None = None,
    judge: Path | None = None,
) -> dict[str, JSON]:
    """Measure only how a bundle's sounds follow curves, and print the lines; see `score`.

    Unless the settings say otherwise, sounds are sampled as by `v2a generate`, not in the fewer steps of the score.

    Returns:
        The lines by name, as in `following.json`.

    Raises:
        ConfigError: For a bundle without an adapter, or with that of another generator.
    """
    settings = settings or ScoreSettings(generator=AudioLdmSettings())
    count = settings.follow_per_class if per_class is None else per_class
    settings = settings.model_copy(update={"per_class": count, "follow_per_class": count, "stills_per_class": 1})
    local = load_bundle(bundle).resolve()
    if local.adapter is None:
        raise ConfigError(f"the bundle {local.name!r} has no adapter: its generator follows no curve")
    check_adapter(local.adapter, local)
    judge = judge or _own_judge(local)
    with Crew(local, judge, settings) as crew:
        held_out = observe_held_out(crew, Studio(local, judge, settings), settings, seed)
        mapped = train_mappers(crew, held_out, settings, seed, [PAPER])[PAPER].conditions[0]
        predicts = local.predictor is not None
        followed = follow_all(crew, held_out, mapped, settings, predicts)
        joined = join_all(crew, held_out, mapped, settings) if predicts else None
    lines = [*must_follow(followed, joined, held_out.scenes, settings.metrics), slower_line(local, settings.length_s)]
    print(lines_table(lines), flush=True)
    told: dict[str, JSON] = {line.name: line.to_dict() for line in lines}
    if output is not None:
        storage.write_json(str(output / FOLLOWING_FILE), told)
    return told


class _Clock:
    """Wall time by part, told as it goes."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part."""
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started
        self.seconds["total"] = time.monotonic() - self._started
        print(f"score: {name} in {self.seconds[name]:.1f} s", file=sys.stderr, flush=True)


def _measure(local: LocalBundle, judge: Path | None, settings: ScoreSettings, seed: int) -> ScoreReport:
    clock = _Clock()
    studio = Studio(local, judge, settings)
    with Crew(local, judge, settings) as crew:
        with clock.part("held-out scenes"):
            held_out = observe_held_out(crew, studio, settings, seed)
        with clock.part("mappers"):
            mapped = train_mappers(crew, held_out, settings, seed)
        with clock.part("sounds"):
            systems = make_all(crew, held_out, mapped, studio.generator.embed_text, settings)
        with clock.part("curves"):
            conditions_ND, predicts = mapped[PAPER].conditions[0], local.predictor is not None
            followed = follow_all(crew, held_out, conditions_ND, settings, predicts) if local.adapter else None
            joined = join_all(crew, held_out, conditions_ND, settings) if local.adapter and predicts else None
    with clock.part("time of a clip"):
        seconds = time_a_clip(local, settings.length_s)
        slower = [slower_line(local, settings.length_s)] if local.adapter else []
    with clock.part("numbers"):
        metrics = settings.metrics
        clip, clap = _zero_shot(local, studio, held_out, settings)
        scores = score_systems(systems, held_out, metrics)
        stills = accuracy(systems.stills.kinds_N, kinds_of(held_out.still_scenes), metrics)
        few = min(settings.comparison_per_class * len(KINDS), len(held_out.scenes))
        lines = must_hold(scores, stills, clip, clap, seconds)
        lines += [*must_follow(followed, joined, held_out.scenes, metrics), *slower] if followed else []
        ordered = orderings(scores, compare(systems, held_out, metrics, few))
    about: dict[str, JSON] = {"name": local.name, "trained": local.trained, "fingerprints": local.fingerprints()}
    return ScoreReport(
        about, str(judge) if judge else None, lines, ordered, scores, mapped, settings, seed, clock.seconds
    )


def _zero_shot(local: LocalBundle, studio: Studio, held_out: HeldOut, settings: ScoreSettings) -> tuple[Score, Score]:
    """CLIP by the mean of a scene's frames, CLAP by its sound."""
    truth = kinds_of(held_out.scenes)
    seen = nearest(without_mapper(held_out.frames), class_embeddings(clip_text(local)))
    heard = nearest(held_out.real.embedding_ND, class_embeddings(studio.generator.embed_text))
    return accuracy(seen, truth, settings.metrics), accuracy(heard, truth, settings.metrics)


def _own_judge(local: LocalBundle) -> Path | None:
    folder = own_judge(local)
    return Path(folder) if folder else None
