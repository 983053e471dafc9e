"""What a reproduction will do: whose eyes see, which mappers are trained, which systems sound; for `--dry-run`, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from v2a_core import storage
from v2a_core.outputs import manifest
from v2a_core.protocols import JSON
from v2a_core.reproduction.selection import Selection
from v2a_core.reproduction.systems import BundleRole
from workflows.reproduce.asked import Reproduce
from workflows.reproduce.models import guessed_eyes


@dataclass(frozen=True)
class Plan:
    """Who sees and what is trained.

    Attributes:
        trained: The runs of the sweep, by whose embeddings they learn from.
        looking: Whose embeddings sounds are made from.
    """

    trained: Mapping[BundleRole, tuple[str, ...]]
    looking: tuple[BundleRole, ...]

    @property
    def eyes(self) -> tuple[BundleRole, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys((*self.trained, *self.looking)))


def plan(selection: Selection, eyes: Callable[[BundleRole], BundleRole]) -> Plan:
    """What the chosen rows and figures need, each part once.

    Args:
        selection: The rows and figures.
        eyes: Whose embeddings serve a bundle.
    """
    trained: dict[BundleRole, dict[str, None]] = {}
    for role, runs in selection.mappers().items():
        trained.setdefault(eyes(role), {}).update(dict.fromkeys(runs))
    looking = dict.fromkeys(eyes(system.bundle) for system in selection.systems() if not system.via_text)
    return Plan({eye: tuple(runs) for eye, runs in trained.items()}, tuple(looking))


def show(asked: Reproduce) -> dict[str, JSON]:
    """The steps of a run in their order, and which of them an earlier one has done; fetches nothing."""
    places, selection = asked.places, asked.selection
    found = plan(selection, guessed_eyes)
    steps: list[JSON] = [] if asked.catalog else [_step("world", places.of("world"), places.of("world.json"))]
    for eyes in found.eyes:
        steps += [_step("embed", places.lessons(eyes))] if eyes in found.trained else []
        steps += [_step("embed", places.shown(eyes))] if eyes in found.looking else []
    steps += [_step("train", places.mapper(eyes, run)) for eyes, runs in found.trained.items() for run in runs]
    steps += [_step("generate", places.soundtracks(system.name)) for system in selection.systems()]
    if selection.systems():
        with_pictures = asked.pictures or not asked.catalog
        steps += [_step("evaluate", places.scores(of)) for of in ("videos", *(("pictures",) if with_pictures else ()))]
    figures = [places.figure(number) for number in selection.figures]
    steps += [{"step": "figure", "output": figure, "done": storage.exists(figure)} for figure in figures]
    bundles: dict[str, JSON] = {}
    for role in dict.fromkeys(("main", *(system.bundle for system in selection.systems()))):
        bundles[role] = asked.bundle_of(role) or "a stand-in of the real class, untrained"
    tables: list[JSON] = [table.number for table in selection.tables]
    return {
        "job": "reproduce",
        "output": places.output,
        "tables": tables,
        "figures": [*selection.figures],
        "rows": [*selection.names()],
        "bundles": bundles,
        "steps": steps,
    }


def _step(name: str, output: str, last: str = "") -> JSON:
    done = storage.exists(last) if last else is_done(output)
    return {"step": name, "output": output, "done": done}


def is_done(output: str) -> bool:
    """Whether an output's job has finished; whether with the same settings, the job itself finds out."""
    try:
        return manifest.load(output).get("status") in ("done", "stopped")
    except (FileNotFoundError, ValueError):
        return False
