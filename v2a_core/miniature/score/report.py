"""A score as JSON, and as Markdown that reads on a terminal and in a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from v2a_core.miniature.score.config import ScoreSettings
from v2a_core.miniature.score.judgement import SystemScores
from v2a_core.miniature.score.lines import (
    HELD,
    JSON_FILE,
    OPEN,
    Line,
    Ordering,
    format_number,
    format_table,
    lines_table,
    with_interval,
)
from v2a_core.miniature.score.mapping import Mapped
from v2a_core.protocols import JSON

MARKDOWN_FILE = "score.md"


@dataclass(frozen=True)
class ScoreReport:
    """Everything that was measured.

    Attributes:
        bundle: Name, whether trained, fingerprints.
        judge: Where the judge is; None: untrained.
        lines: Numbers with targets.
        orderings: The paper's comparisons.
        systems: Numbers of each way of making sound.
        mapped: The mappers that were trained.
        settings: Of the score.
        seed: Of noise and of the mappers' weights.
        seconds: Wall time by part.
    """

    bundle: Mapping[str, JSON]
    judge: str | None
    lines: Sequence[Line]
    orderings: Sequence[Ordering]
    systems: Mapping[str, SystemScores]
    mapped: Mapping[str, Mapped]
    settings: ScoreSettings
    seed: int
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, JSON]:
        """Plain data for JSON."""
        return {
            "bundle": dict(self.bundle),
            "judge": self.judge,
            "seed": self.seed,
            "settings": self.settings.model_dump(),
            "held": {"lines": _held(self.lines), "orderings": _held(self.orderings)},
            "lines": {line.name: line.to_dict() for line in self.lines},
            "orderings": [ordering.to_dict() for ordering in self.orderings],
            "systems": {name: _system(scores) for name, scores in self.systems.items()},
            "mappers": {
                name: {"parameters": m.parameters, "validation_cosine": m.cosine, "seconds": round(m.seconds, 1)}
                for name, m in self.mapped.items()
            },
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }

    def to_markdown(self) -> str:
        """Three tables and what they were measured on."""
        parts = [self._about(), self._lines(), self._systems(), self._orderings(), self._mappers()]
        return "\n\n".join(part for part in parts if part) + "\n"

    def write(self, folder: Path) -> None:
        """Write both forms into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        (folder / JSON_FILE).write_text(text + "\n", encoding="utf-8")
        (folder / MARKDOWN_FILE).write_text(self.to_markdown(), encoding="utf-8")

    def _about(self) -> str:
        settings = self.settings
        generator = settings.generator
        text = (
            f"Bundle {self.bundle['name']}, {settings.per_class} {settings.split} scenes of each kind, world seed "
            f"{settings.world_seed}, seed {self.seed}; {generator.num_inference_steps} steps of {generator.sampler}, "
            f"guidance {generator.guidance_scale:g}; {settings.metrics.confidence:.0%} intervals (shares: Wilson, else "
            f"bootstrap); {self.seconds['total']:.0f} s."
        )
        if self.judge is None:
            text += " There is no judge beside this bundle: an untrained one was asked, and its verdicts mean nothing."
        return text

    def _lines(self) -> str:
        return lines_table(self.lines)

    def _systems(self) -> str:
        names = [field.name for field in fields(SystemScores)]
        head = [
            "sound",
            "clips",
            "class",
            "FD",
            "pitch",
            "tempo",
            "pitch (judge)",
            "tempo (judge)",
            "FD of cond.",
            "cos",
        ]
        rows = [
            [name, str(scores.accuracy.count), *[format_number(getattr(scores, part).value) for part in names]]
            for name, scores in self.systems.items()
        ]
        return format_table(head, rows)

    def _orderings(self) -> str:
        rows = []
        for ordering in self.orderings:
            sign = " < " if ordering.better == "lower" else " > "
            found = [f"{name} {with_interval(score)}" for name, score in ordering.scores.items()]
            rows.append([ordering.title, sign.join(ordering.scores), ", ".join(found), ordering.verdict])
        return format_table(["the paper's comparisons", "order in the paper", "here", ""], rows)

    def _mappers(self) -> str:
        rows = [
            [name, f"{m.parameters / 1e6:.2f} M", format_number(m.cosine), f"{m.seconds:.0f} s"]
            for name, m in self.mapped.items()
        ]
        settings = self.settings
        note = (
            f"Mappers: the paper's architectures with less depth (Transformer: {settings.transformer_depth} blocks of "
            f"12), {settings.mapper_steps} steps of {settings.mapper_batch} on {settings.pairs} scenes, sampled in "
            f"{settings.sampling_steps} steps of DPM-Solver++, guidance {settings.mapper_guidance:g}."
        )
        return note + "\n\n" + format_table(["mapper", "size", "cosine (validation)", "training"], rows)


def _system(scores: SystemScores) -> dict[str, JSON]:
    return {field.name: getattr(scores, field.name).to_dict() for field in fields(scores)}


def _held(items: Sequence[Line] | Sequence[Ordering]) -> str:
    verdicts = [item.verdict for item in items if item.verdict != OPEN]
    return f"{sum(verdict.startswith(HELD) for verdict in verdicts)} of {len(verdicts)}"
