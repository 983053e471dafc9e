"""All stages in their order, two processes side by side, each with one thread: faster than two threads in one."""

from __future__ import annotations

import importlib
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from v2a_core import storage
from v2a_core.compute.processes import end_with_parent
from v2a_core.compute.threads import prepare_torch
from v2a_core.miniature.training.data import prepare_files, render_sounds
from v2a_core.miniature.training.loop import DONE
from v2a_core.models import load_bundle
from v2a_core.models.bundle import BUNDLE_FILE

# What each stage reads from others. `sounds-*` render the training data, half each.
NEEDS: dict[str, tuple[str, ...]] = {
    "sounds-0": (),
    "sounds-1": (),
    "judge": ("sounds-0", "sounds-1"),
    "clap": ("sounds-0", "sounds-1"),
    "clip": (),
    "vae": ("sounds-0", "sounds-1"),
    "vocoder": ("sounds-0", "sounds-1", "judge", "vae"),
    "unet": ("judge", "clap", "vae"),
    "adapt": ("unet", "clip"),
}
# Who runs what, in order, so that both processes are busy from beginning to end.
LANES = (("sounds-0", "judge", "clap", "unet", "adapt"), ("sounds-1", "vae", "clip", "vocoder"))
# What is trained on a finished bundle, as it is shipped: when the others are done, or on any that is in the output.
# The part of the bundle that each belongs to.
ON_BUNDLE = {"envelope": "generator", "predictor": "vision"}
STAGES = (*NEEDS, *ON_BUNDLE)
POLL_S = 2.0


def train_miniature(
    output: Path,
    *,
    work: Path,
    stages: Sequence[str] | None = None,
    seed: int = 0,
    minutes: Mapping[str, float] | None = None,
) -> None:
    """Train the miniature models and write them as a bundle.

    A stage that has finished is skipped, one that was stopped goes on from its last checkpoint.

    Args:
        output: Folder of the bundle; written when all stages have finished. Of a bundle that lies there already, stage
            `envelope` alone trains the adapter, and `predictor` the predictor of curves, which are added to it.
        work: Folder of training data, checkpoints and logs; about 2 GB.
        stages: Names of the stages to run (see `STAGES`); all by default.
        seed: Of the world, the weights and the order of the data.
        minutes: Limits in time, by stage of those that make the bundle; the learning rate then falls with the clock.
            What comes out depends on the machine's speed.

    Raises:
        ValueError: For unknown stages, and for stages whose needs are neither done nor asked for.
        RuntimeError: When a stage failed; what went wrong is in its output.
    """
    wanted = set(STAGES if stages is None else stages)
    _check(wanted, work, output)
    limits = dict(minutes or {})
    lanes = [[stage for stage in lane if stage in wanted] for lane in LANES]
    if any(lanes):
        prepare_files(work, seed)
    _run_processes([(_run_lane, (lane, work, seed, limits)) for lane in lanes if lane])
    if all(_is_done(work, stage) for stage in NEEDS):
        from v2a_core.miniature.training.export import export_bundle

        export_bundle(output, work=work, seed=seed)
    on_bundle = [stage for stage in ON_BUNDLE if stage in wanted]
    _run_processes([(_train_alone, (stage, output, work, seed)) for stage in on_bundle])
    for stage in on_bundle:
        add_to_bundle(stage, output, work, seed)


def _check(wanted: set[str], work: Path, output: Path) -> None:
    unknown = sorted(wanted - set(STAGES))
    if unknown:
        raise ValueError(f"no such stages: {', '.join(unknown)}; known are {', '.join(STAGES)}")
    for stage in sorted(wanted):
        lacking = [need for need in NEEDS.get(stage, ()) if need not in wanted and not _is_done(work, need)]
        if lacking and not _is_done(work, stage):
            raise ValueError(f"stage {stage} needs {', '.join(lacking)}: run these too")
    comes = all(stage in wanted or _is_done(work, stage) for stage in NEEDS)
    alone = [stage for stage in ON_BUNDLE if stage in wanted]
    if alone and not comes and not (output / BUNDLE_FILE).is_file():
        raise ValueError(
            f"stage {alone[0]} trains on a finished bundle, and {output} holds none: run the other stages, too, or put "
            f"a bundle there: `v2a models fetch miniature --output {output}`"
        )


def _run_processes(works: Sequence[tuple[Callable[..., None], tuple[object, ...]]]) -> None:
    """Run functions with their arguments, each in a process of its own.

    Raises:
        RuntimeError: When one failed.
    """
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=function, args=arguments) for function, arguments in works]
    for process in processes:
        process.start()
    try:
        _wait(processes)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _wait(processes: Sequence[multiprocessing.process.BaseProcess]) -> None:
    """Until all have ended well; one that failed would let the others wait for it for ever."""
    while any(process.is_alive() for process in processes):
        for process in processes:
            process.join(timeout=POLL_S)
            if process.exitcode:
                break
        if any(process.exitcode for process in processes):
            break
    if any(process.exitcode for process in processes):
        raise RuntimeError("training failed, see above; run it again to go on from the last checkpoints")


def _run_lane(lane: Sequence[str], work: Path, seed: int, minutes: Mapping[str, float]) -> None:
    end_with_parent()
    prepare_torch(threads=1)
    for stage in lane:
        if _is_done(work, stage):
            print(f"{stage}: done before", flush=True)
            continue
        while not all(_is_done(work, need) for need in NEEDS[stage]):
            time.sleep(POLL_S)
        run_one(stage, work, seed, minutes.get(stage))


def _train_alone(stage: str, output: Path, work: Path, seed: int) -> None:
    end_with_parent()
    prepare_torch(threads=1)
    train_on_bundle(stage, output, work, seed)


def train_on_bundle(stage: str, output: Path, work: Path, seed: int) -> None:
    """Train what belongs to the bundle in `output`, in this process.

    Args:
        stage: Of `ON_BUNDLE`: `envelope` for the adapter, `predictor` for the predictor of curves.
        output: Folder of the bundle.
        work: Folder of training data, checkpoints and logs.
        seed: Of everything.

    Raises:
        ValueError: When the work folder holds what was trained on another part of its kind, or from another seed.
    """
    local, part = load_bundle(str(output)).resolve(), ON_BUNDLE[stage]
    mark, made_from = work / stage / "made-from", f"{local.parts()[part].fingerprint} seed {seed}"
    if mark.is_file() and mark.read_text(encoding="utf-8") != made_from:
        raise ValueError(
            f"{mark.parent} is of another {part} than that of {output}, or another seed: delete it, or give another "
            "--work"
        )
    storage.write_bytes(str(mark), made_from.encode())
    if _is_done(work, stage):
        print(f"{stage}: done before", flush=True)
    else:
        importlib.import_module(f"{__package__}.{stage}").train(work / stage, seed, local)


def add_to_bundle(stage: str, output: Path, work: Path, seed: int) -> None:
    """Add what `train_on_bundle` has trained to the bundle."""
    from v2a_core.miniature.training import export

    add = {"envelope": export.add_adapter, "predictor": export.add_predictor}[stage]
    add(output, load_bundle(str(output)).resolve(), work=work / stage, seed=seed)


def run_one(name: str, work: Path, seed: int, minutes: float | None = None) -> None:
    """Run one stage in this process."""
    from v2a_core.miniature.training.loop import run_stage

    if name.startswith("sounds-"):
        render_sounds(work, seed, int(name[-1]), 2)
        storage.write_json(str(work / name / DONE), {})
        return
    module = importlib.import_module(f"{__package__}.{name}")
    plan = module.PLAN if minutes is None else replace(module.PLAN, minutes=minutes)
    run_stage(name, module.build(work, seed, plan), work / name, seed)


def _is_done(work: Path, stage: str) -> bool:
    return (work / stage / DONE).is_file()
