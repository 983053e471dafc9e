"""Attacks on what jobs run on: workers that never end or always die, other users of the machine, signals."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

import helpers_catalog
import pyarrow as pa
import pytest
from ray.data import ActorPoolStrategy, TaskPoolStrategy

from v2a_core.decoding import DecodeSettings
from v2a_core.ledger import read_columns
from workflows import embed, pipeline, restarts
from workflows.cli import main
from workflows.run_config import LimitSettings
from workflows.summary import Tally
from workflows.watchdog import WorkersLostError, watch

EMBED = (
    "--models=miniature", "--set=segments.length_s=1.0", "--set=output.interval_s=0",
    "--set=pools.sources_per_block=1", "--set=pools.segments_per_batch=1",
)  # fmt: skip


def test_a_decoder_that_never_ends(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A decoder that hangs for ever under limits that are too wide to notice: the run ends and names the file"""
    monkeypatch.setattr(embed, "DecodeSettings", functools.partial(DecodeSettings, decoder="planted_decoders:by_name"))
    for name in ("good", "hang"):
        helpers_catalog.video(tmp_path / "catalog" / f"{name}.mp4", 1.0)
    settings = ["--set=decoder.time_limit_s=500", "--set=limits.stalled_s=10"]
    output = tmp_path / "output"
    assert main(["embed", str(tmp_path / "catalog"), "--output", str(output), *EMBED, *settings]) == 1
    said = capsys.readouterr().err
    assert "nothing has moved for 10 s (limits.stalled_s): 1 of 2 sources are unfinished: hang.mp4; at work" in said
    assert "_decode_batch" in said
    assert "good" not in said
    written = read_columns(f"{output}/rows", ["source_name"])
    assert written is not None
    assert written["source_name"].to_pylist() == ["good.mp4"]


@pytest.mark.parametrize("kind", ["task", "actor"])
def test_work_that_always_ends_its_process(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A block that ends its worker's process each time it is tried: the run ends with a sentence"""
    monkeypatch.setattr(restarts, "TASK_RETRIES", 2)
    trace = tmp_path / "tries"

    def deadly(batch: pa.Table) -> pa.Table:
        with trace.open("a") as file:
            file.write("x")
        os._exit(1)

    class Deadly:
        def __call__(self, batch: pa.Table) -> pa.Table:
            return deadly(batch)

    data = pipeline.from_tables([pa.table({"number": [0]})])
    if kind == "task":
        data = data.map_batches(deadly, num_cpus=0.2, compute=TaskPoolStrategy(size=1), batch_format="pyarrow")
    else:
        data = data.map_batches(Deadly, num_cpus=0.2, compute=ActorPoolStrategy(size=1), batch_format="pyarrow")
    restarts.bound_restarts(data)
    tally = Tally("embed", planned=1, expected={"id": "poison.mp4"})
    with pytest.raises(WorkersLostError) as told, watch(data, tally, LimitSettings()):
        list(data.iter_batches(batch_size=None))
    assert re.search("workers ended before their work was done.*1 of 1 sources .*poison.mp4", str(told.value))
    assert trace.read_text() == "xxx"
