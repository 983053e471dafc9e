"""What a system took: seconds of work a clip, and how many numbers were trained or are in the generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from v2a_core import storage
from v2a_core.generators.audioldm.checkpoint import audioldm_source
from v2a_core.models import LocalBundle
from v2a_core.outputs import manifest

# Of a soundtrack, one after the other; what else a summary tells is a part of one of them.
_STAGES = ("decode", "vision", "map", "generate", "finish")
MILLION = 1e6


def seconds_a_row(output: str, stages: Sequence[str]) -> float | None:
    """Seconds of work of some stages for a row, over all runs into an output; None when it tells of none.

    Work of several processes is added up: on an idle machine with one process it is the time that a row takes.

    Args:
        output: Of `v2a generate` or `v2a embed`.
        stages: As summaries call them.
    """
    runs: Sequence[Mapping[str, Any]] = manifest.load(output).get("runs", [])
    rows = sum(run["counts"]["rows_done_now"] for run in runs)
    spent = sum(run["seconds"].get(stage, 0.0) for run in runs for stage in stages)
    return spent / rows if rows else None


def work_of(soundtracks: str, seen: str | None) -> dict[str, float]:
    """Seconds a clip of a system.

    Args:
        soundtracks: Folder or URI that `v2a generate` wrote.
        seen: What `v2a embed` had seen for it before; None: it saw for itself.
    """
    made = seconds_a_row(soundtracks, _STAGES)
    before = seconds_a_row(seen, ("decode", "vision")) if seen else 0.0
    generator = seconds_a_row(soundtracks, ("generate",))
    found = {} if made is None or before is None else {"seconds": made + before}
    return found if generator is None else {**found, "generator_seconds": generator}


def trained_millions(mapper: str) -> float:
    """Trained numbers of a mapper, in millions.

    Args:
        mapper: Folder or URI that `v2a train` wrote.
    """
    return float(storage.read_json(storage.join(mapper, "config.json"))["parameters"]) / MILLION


def generator_millions(local: LocalBundle) -> float | None:
    """Numbers of a generator's UNet, in millions, which the paper counts; None of another kind of generator."""
    if local.generator_name != "audioldm":
        return None
    tensors = audioldm_source(local.generator).tensors("unet")
    return sum(tensor.numel() for tensor in tensors.values()) / MILLION
