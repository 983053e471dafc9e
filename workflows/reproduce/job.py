"""`v2a reproduce`: the tables and figures of the paper, from a catalog to a page, by the jobs that are there."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from v2a_core import storage
from v2a_core.outputs import manifest
from v2a_core.outputs.lease import hold
from v2a_core.outputs.manifest import Manifest
from v2a_core.protocols import JSON
from v2a_core.reproduction.filled import fill
from v2a_core.reproduction.latex import to_latex
from v2a_core.reproduction.markdown import to_markdown
from v2a_core.reproduction.page import render_page
from v2a_core.reproduction.reproduction import Reproduction
from v2a_core.storage import StorageAccess
from v2a_core.storage.checksums import sha256_of
from v2a_core.storage.preflight import check_storage
from workflows.reproduce import data, figures, jobs, models, plan, scoring
from workflows.reproduce.asked import Reproduce
from workflows.reproduce.making import Making
from workflows.reproduce.places import PAGE, TABLES_JSON, TABLES_MD, TABLES_TEX
from workflows.streaming.run import describe_bundle

NAME = "reproduce"


def run(asked: Reproduce, *, dry_run: bool = False) -> dict[str, Any]:
    """Make what is not made yet, then write the tables and the page.

    Args:
        asked: What is asked for.
        dry_run: Check and show the steps, do nothing.

    Returns:
        What `tables.json` says; for a dry run the plan, which is printed.

    Raises:
        ConfigError: What contradicts itself, cannot be found, or does not fit an earlier run into the output.
        TooManyRejectsError, UnfinishedError, TrainingStoppedError: As the jobs do; the same command goes on from there.
    """
    started = time.monotonic()
    with storage.reach(StorageAccess.of_job(asked.settings.storage, asked.output, None)):
        asked.check()
        jobs.check(asked)
        if asked.catalog:
            asked.list_test()
            asked.list_pictures()
        if dry_run:
            planned = plan.show(asked)
            print(json.dumps(planned, indent=2, ensure_ascii=False), flush=True)
            return planned
        output = asked.places.output
        manifest.check_own(output, NAME)
        check_storage([], output, storage.in_use())
        with hold(output, NAME, steal=asked.steal):
            return _run(asked, started)


def _run(asked: Reproduce, started: float) -> dict[str, Any]:
    """From the models on; what an earlier run made in the same output is not made again."""
    output = asked.places.output
    bundles = models.resolve(asked, (system.bundle for system in asked.selection.systems()))
    jobs.check_weights(asked)
    claimed = manifest.open_output(output, _manifest(asked, bundles))
    making = Making(asked, data.prepare(asked), bundles)
    outputs = making.make()
    scored = scoring.score(making)
    drawn = figures.draw(making)
    spent_s = time.monotonic() - started
    earlier_s = [float(str(run.get("seconds", 0))) for run in claimed["runs"]]
    about = _made_with(making, [*earlier_s, spent_s])
    found = Reproduction(fill(asked.selection, scored.measured), drawn, about, _notes(making), scored.pages)
    content = _write(asked, found)
    inside = [asked.places.inside(place) for place in (*outputs, *scored.outputs)]
    inside += [asked.places.inside(asked.places.interpolation)] if 7 in asked.selection.figures else []
    _close(asked, claimed, inside, found, spent_s)
    print(f"reproduce: done in {spent_s:.0f} s. {found.verdicts()}", flush=True)
    print(f"reproduce: open {asked.places.of(PAGE)}", flush=True)
    return content


def _manifest(asked: Reproduce, bundles: models.Models) -> Manifest:
    local, settings = bundles.local["main"], asked.settings
    world: dict[str, JSON] = {"world": settings.world.model_dump()}
    named = {"catalog": asked.catalog, "test": asked.test}
    given: dict[str, JSON] = {name: [storage.public(uri) for uri in uris] for name, uris in named.items()}
    identity: dict[str, JSON] = {"seed": settings.seed, "models": {**local.fingerprints()}}
    return manifest.new(
        NAME,
        identity={**identity, **(given if asked.catalog else world)},
        config=settings.model_dump(mode="json"),
        bundle=describe_bundle(local),
        spaces={"vision": local.vision_space, "audio": local.audio_space},
    )


def _made_with(making: Making, spent_s: Sequence[float]) -> dict[str, str]:
    """What a reader must know.

    Args:
        making: What was made, and of what.
        spent_s: Seconds of each run that ended.
    """
    asked, local = making.asked, making.models.local
    made = jobs.generate_job(asked, via_text=False)
    through = jobs.generate_job(asked, via_text=True).via_text
    learned = "the miniature world" if not asked.catalog else ", ".join(storage.public(uri) for uri in asked.catalog)
    sampled = made.generator.model_dump()
    steps = f"{sampled.get('num_inference_steps', '?')} steps of {sampled.get('sampler', made.generator.kind)}"
    return {
        "models": ", ".join(f"{bundle.name}{'' if bundle.trained else ' (untrained)'}" for bundle in local.values()),
        "learned from": learned,
        "sounds for": f"{len(making.data.sources)} videos{', and pictures' if making.data.pictures else ''}",
        "generator": f"{steps}, candidates: {made.candidates.count}",
        "via text": f"by {through}",
        "seed": str(asked.settings.seed),
        "time": f"{sum(spent_s):.0f} s in {len(spent_s)} {'run' if len(spent_s) == 1 else 'runs'}",
        "inference": "seconds of work a clip, all stages added up, on this machine and beside whatever else it did",
    }


def _notes(making: Making) -> list[str]:
    if making.asked.in_small:
        return [
            "Made by the miniature models: the real classes at tiny size, on a small world. Its orders can be compared "
            "with the paper's, its values cannot; whether one holds here says nothing of the published models."
        ]
    return []


def _write(asked: Reproduce, found: Reproduction) -> dict[str, JSON]:
    """Tables in all three forms, and the page; prints the tables."""
    places, text, content = asked.places, to_markdown(found), found.to_dict()
    storage.write_bytes(places.of(TABLES_MD), text.encode())
    storage.write_json(places.of(TABLES_JSON), content)
    storage.write_bytes(places.of(TABLES_TEX), to_latex(found).encode())
    storage.write_bytes(places.of(PAGE), render_page(found))
    print(text, flush=True)
    return content


def _close(asked: Reproduce, claimed: Manifest, inside: Sequence[str], found: Reproduction, spent_s: float) -> None:
    """Record what was written, so that what is lost or changed is noticed."""
    output, pictures = asked.places.output, [figure.file for figure in found.figures if figure.file]
    names = [TABLES_MD, TABLES_JSON, TABLES_TEX, PAGE, *pictures]
    files: dict[str, JSON] = {name: sha256_of(storage.join(output, name))[0] for name in names}
    counts: dict[str, JSON] = {"tables": len(found.tables), "figures": len(found.figures)}
    summary: dict[str, JSON] = {"status": "done", "counts": counts, "seconds": round(spent_s, 1)}
    manifest.close_output(output, claimed, {**summary, "files": files, "outputs": [*inside]})
