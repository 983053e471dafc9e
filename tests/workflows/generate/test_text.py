"""Prompts of a catalog, candidates, several workers: the options of the generator through the whole job."""

from __future__ import annotations

import helpers_catalog
import helpers_outputs
import numpy as np
import pytest
import soundfile

from v2a_core.config import load
from v2a_core.models import load_bundle
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob

SETTINGS = (
    "segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0",
    "frames.image_segment_s=1.0", "generator.num_inference_steps=2", "generator.precision=fp32",
    "encoders.precision=fp32", "output.interval_s=0",
)  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return helpers_catalog.catalog(tmp_path_factory.mktemp("world") / "catalog")


@pytest.fixture(scope="module")
def mapper(tmp_path_factory):
    return helpers_catalog.random_mapper(tmp_path_factory.mktemp("mapper"), load_bundle("miniature").resolve())


def run(paths, output, mapper, *overrides: str) -> dict[str, dict]:
    job = load(GenerateJob, job="generate", overrides=[*SETTINGS, *overrides])
    generate.run([str(path) for path in paths], str(output), job, mapper=mapper, models="miniature")
    return {row["source_uri"]: row for row in helpers_outputs.index_rows(output)}


def test_the_same_sound_in_any_batch_order_and_number_of_workers(ray_session, catalog, mapper, tmp_path):
    paths = [catalog / "rain" / "one.mp4", catalog / "bell" / "one.mp4"]
    one = run(paths, tmp_path / "one", mapper)
    alone = ("pools.segments_per_batch=1", "pools.soundtracks_per_batch=1", "generator.micro_batch=1")
    two = run(paths[::-1], tmp_path / "two", mapper, *alone, "pools.model_actors=2", "pools.sources_per_block=1")
    for path in paths:
        first, second = (soundfile.read(rows[str(path)]["audio_path"])[0] for rows in (one, two))
        np.testing.assert_allclose(first, second, atol=1e-3)


def test_prompts_of_a_catalog_and_candidates(ray_session, catalog, mapper, tmp_path, capsys):
    table = tmp_path / "table.csv"
    path, still = catalog / "rain" / "one.mp4", catalog / "still.png"
    table.write_text(f"uri,prompt,negative_prompt\n{path},heavy rain,\n{still},,hum\n")
    choice = ("candidates.count=2", "candidates.keep_losers=true", "text.prompt=wind", "text.weight=0.7")
    rows = run([table], tmp_path / "out", mapper, *choice)
    assert (rows[str(path)]["prompt"], rows[str(path)]["negative_prompt"]) == ("heavy rain", None)
    assert (rows[str(still)]["prompt"], rows[str(still)]["negative_prompt"]) == ("wind", "hum")
    for row in rows.values():
        assert row["candidate"] == int(np.argmax(row["candidate_scores"]))
        (loser,) = row["loser_paths"]
        kept, lost = (soundfile.read(uri)[0] for uri in (row["audio_path"], loser))
        assert len(kept) == len(lost)
        assert np.abs(kept - lost).max() > 1e-3
    # Other words for what is finished: it is kept, and that is said.
    table.write_text(f"uri,prompt,negative_prompt\n{path},light rain,\n{still},,hum\n")
    assert run([table], tmp_path / "out", mapper, *choice) == rows
    assert "1 finished sources were made with other prompts than the catalog has now" in capsys.readouterr().out
