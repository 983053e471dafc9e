"""The figures: what the training of our mapper drew, what listeners said, and the sounds of an interpolation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from v2a_core import storage
from v2a_core.catalog import Source
from v2a_core.config import ConfigError
from v2a_core.listening.making.make import Wanted
from v2a_core.listening.scoring.plots import DIFFERENCES_FILE
from v2a_core.outputs import manifest
from v2a_core.protocols import JSON
from v2a_core.reproduction.figures import draw_interpolation
from v2a_core.reproduction.paper import FIGURES
from v2a_core.reproduction.reproduction import Figure
from v2a_core.reproduction.systems import OURS_MAPPER
from v2a_core.training.plots import HISTOGRAM_FILE, PROJECTION_FILE
from workflows.interpolate import job as interpolate
from workflows.listening import job as listening
from workflows.listening.config import ListeningSettings
from workflows.reproduce import jobs
from workflows.reproduce.making import Making
from workflows.reproduce.once import once

_VALIDATION = "Of the validation pairs of our mapper"


def draw(making: Making) -> list[Figure]:
    """Every figure that was asked for."""
    drawn: Mapping[int, Callable[[Making], Figure]] = {
        3: lambda making: _of_training(making, 3, HISTOGRAM_FILE),
        4: lambda making: _of_training(making, 4, PROJECTION_FILE),
        5: _listened,
        7: _interpolated,
    }
    return [drawn[number](making) for number in making.asked.selection.figures]


def _of_training(making: Making, number: int, name: str) -> Figure:
    """A picture that the training of our mapper drew."""
    mapper = making.places.mapper(making.models.eyes("main"), OURS_MAPPER)
    target = making.places.figure(number)
    storage.write_bytes(target, storage.read_bytes(storage.join(mapper, name)))
    return Figure(number, FIGURES[number], making.places.inside(target), note=f"{_VALIDATION}.")


def _listened(making: Making) -> Figure:
    """What listeners said; as long as nobody has, the test to hand out."""
    places, settings = making.places, ListeningSettings(storage=making.asked.settings.storage)
    page = storage.join(places.listening, "index.html")
    if not storage.exists(places.listening_key):
        names = making.asked.selection.listened(making.asked.external)
        systems = {name: making.asked.external.get(name) or places.soundtracks(name) for name in names}
        listening.make(Wanted(systems, places.listening, places.listening_key), settings)
    link = places.inside(page)
    if not making.asked.answers:
        said = "Nobody has listened yet: hand out the folder of the test, and give what comes back with --answers."
        return Figure(5, FIGURES[5], link=link, note=said)
    scores, target = places.of("listening", "scores"), places.figure(5)
    listening.score(making.asked.answers, places.listening_key, scores, settings)
    picture = storage.join(scores, DIFFERENCES_FILE)
    if not storage.exists(picture):
        return Figure(5, FIGURES[5], link=link, note="The answers say too little for it: see listening/scores.")
    storage.write_bytes(target, storage.read_bytes(picture))
    return Figure(5, FIGURES[5], places.inside(target), link, "Its numbers, and table 2, are in listening/scores.")


def _interpolated(making: Making) -> Figure:
    """The sounds between two videos of different kinds."""
    places, asked = making.places, making.asked
    first, second = _ends(making.data.sources)
    mapper, settings = places.mapper(making.models.eyes("main"), OURS_MAPPER), jobs.interpolation_settings(asked)
    output, target = places.interpolation, places.figure(7)
    request: dict[str, JSON] = {
        "ends": [first.uri, second.uri],
        "settings": settings.model_dump(mode="json"),
        "mapper": manifest.load(mapper)["output_id"],
        "models": {**making.models.local["main"].fingerprints()},
    }

    def make() -> None:
        models = making.models.names["main"]
        interpolate.run(first.uri, second.uri, output, settings, mapper=mapper, models=models)
        files = [storage.join(output, f"step-{number:02d}.wav") for number in range(settings.steps)]
        ends = (first.label or first.name, second.label or second.name)
        storage.write_bytes(target, draw_interpolation(files, ends))

    once(places.of("interpolations", "figure-7.request.json"), request, target, make)
    said = f"From {first.label or first.name} to {second.label or second.name}, one noise for all."
    return Figure(7, FIGURES[7], places.inside(target), places.inside(storage.join(output, "index.html")), said)


def _ends(sources: Sequence[Source]) -> tuple[Source, Source]:
    """The first video and the first one of another kind.

    Raises:
        ConfigError: When there is one video only.
    """
    if len(sources) < 2:
        raise ConfigError("figure 7 goes from one video to another: --test has one")
    first = sources[0]
    return first, next((source for source in sources if source.label != first.label), sources[1])
