"""The systems compared: on the videos with their own sounds, on the pictures without; and a page to listen to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from v2a_core import storage
from v2a_core.metrics import inputs
from v2a_core.protocols import JSON
from v2a_core.reproduction.comparison import Comparison
from v2a_core.reproduction.filled import Measured
from v2a_core.reproduction.orderings import wanted_pairs
from v2a_core.reproduction.systems import BundleRole, System
from v2a_core.reproduction.work import generator_millions, trained_millions, work_of
from v2a_core.storage.checksums import sha256_of
from workflows.evaluate import systems as evaluate
from workflows.evaluate.extraction import chosen_weights
from workflows.evaluate.report import JSON_FILE
from workflows.page import job as page
from workflows.page.config import PageSettings
from workflows.reproduce import jobs
from workflows.reproduce.data import source_id, write_index
from workflows.reproduce.making import Making
from workflows.reproduce.once import once, state_of

_KINDS = {"videos": "video", "pictures": "image"}  # of what is compared: as the index of soundtracks calls it
_CLIP_SCORE = "wav2clip"


@dataclass(frozen=True)
class Scored:
    """What was measured.

    Attributes:
        measured: For the tables.
        outputs: The comparisons, by their places.
        pages: To listen to them, by title, by their places in the output.
    """

    measured: Measured
    outputs: list[str]
    pages: dict[str, str]


def score(making: Making) -> Scored:
    """Compare what was made, and take stock of the work."""
    selection = making.asked.selection
    # Ours is the first: what the others stand beside.
    systems = [system for system in selection.systems() if system.name in selection.names()]
    if not systems and not making.asked.wanted_external:
        return Scored(Measured(), [], {})
    found: dict[str, Comparison] = {}
    pages = {}
    for of in ("videos", *(("pictures",) if making.data.pictures and systems else ())):
        print(f"reproduce: scores of the {of}", flush=True)
        found[of] = _compare(making, systems, of)
        if making.asked.settings.listen_to:
            pages[f"the systems on the {of}"] = _page(making, of)
    untrained = frozenset(s.name for s in systems if not making.models.local[s.bundle].trained)
    measured = Measured(found["videos"], found.get("pictures"), _work(making, systems), untrained)
    return Scored(measured, [making.places.scores(of) for of in found], pages)


def _compare(making: Making, systems: list[System], of: str) -> Comparison:
    """Compare the systems; the same comparison is not made twice, unless there are sounds of others in it."""
    asked, output = making.asked, making.places.scores(of)
    places = {system.name: _index(making, system, of) for system in systems}
    external = asked.wanted_external if of == "videos" else {}
    pairs = wanted_pairs(asked.selection.tables, {*places, *external})
    job = jobs.evaluate_job(asked)
    request: dict[str, JSON] = {
        "systems": {system.name: state_of(making.places.soundtracks(system.name)) for system in systems},
        "pairs": [list(pair) for pair in pairs],
        "settings": job.model_dump(mode="json"),
        "models": dict(making.models.local["main"].fingerprints()),
    }
    if external:
        request["external"] = {name: storage.public(place) for name, place in external.items()}
    seen = making.places.shown(making.models.eyes("main"))
    # Frames of CLIP ViT-B/32 are for the CLIP score; embeddings of another encoder are no use.
    with_frames = _CLIP_SCORE in chosen_weights(job) and storage.exists(seen)

    def compare() -> None:
        evaluate.run(
            {**places, **external},
            making.data.references if of == "videos" else None,
            output,
            job,
            embeddings=seen if with_frames else None,
            pairs=pairs,
            models=making.models.names["main"],
            address=asked.address,
            steal=asked.steal,
        )

    result = storage.join(output, JSON_FILE)
    if external or not _is_whole(output):
        storage.write_json(_note(making, of), {})
    if not once(_note(making, of), request, result, compare):
        print(f"reproduce: nothing to do, these systems were compared before -> {output}", flush=True)
    return Comparison.read(storage.read_json(result))


def _is_whole(output: str) -> bool:
    try:
        return state_of(output)["status"] == "done"
    except (FileNotFoundError, ValueError):
        return False


def _note(making: Making, of: str) -> str:
    return making.places.of("scores", f"{of}.request.json")


def _index(making: Making, system: System, of: str) -> str:
    """An index of a system's sounds for the videos, or for the pictures."""
    soundtracks = making.places.soundtracks(system.name)
    rows = [
        (source_id(row["source_name"]), storage.join(soundtracks, row["audio_path"]), row["label"], row["caption"])
        for row in inputs.read_index(soundtracks, None).to_pylist()
        if row["kind"] == _KINDS[of]
    ]
    uri = making.places.of("inputs", "sounds", f"{system.name}-{of}.csv")
    write_index(uri, rows)
    return uri


def _page(making: Making, of: str) -> str:
    """The page of a comparison, by its place in the output; as long as the numbers are the same, the same page."""
    output = making.places.scores(of)
    place = storage.join(output, "index.html")
    settings = PageSettings(limit=making.asked.settings.listen_to, storage=making.asked.settings.storage)
    request: dict[str, JSON] = {"metrics": sha256_of(storage.join(output, JSON_FILE))[0], "limit": settings.limit}
    once(making.places.of("scores", f"{of}.page.json"), request, place, lambda: page.run(output, settings))
    return making.places.inside(place)


def _work(making: Making, systems: list[System]) -> Mapping[str, Mapping[str, float]]:
    sizes: dict[BundleRole, float | None] = {
        role: generator_millions(local) for role, local in making.models.local.items()
    }
    found: dict[str, dict[str, float]] = {}
    for system in systems:
        work = work_of(making.places.soundtracks(system.name), making.seen(system))
        mapper, size = making.mapper_of(system), sizes[system.bundle]
        work |= {"parameters": trained_millions(mapper)} if mapper else {}
        work |= {} if size is None else {"generator_parameters": size}
        found[system.name] = work
    return found
