"""The systems of the paper that a mapper is compared with, end to end."""

from __future__ import annotations

import csv

import helpers_blip
import helpers_catalog
import helpers_models
import helpers_outputs
import numpy as np
import pytest
import soundfile

from v2a_core.config import ConfigError, load
from v2a_core.models import load_bundle
from workflows.cli.main import main
from workflows.generate import conditions
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob

SETTINGS = (
    "segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0",
    "frames.image_segment_s=1.0", "generator.num_inference_steps=2", "output.interval_s=0", "limits.reject_grace=9",
)  # fmt: skip


def job(*overrides: str) -> GenerateJob:
    return load(GenerateJob, job="generate", overrides=[*SETTINGS, *overrides])


def index(output) -> dict[str, dict]:
    return {row["source_name"]: row for row in helpers_outputs.index_rows(output)}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """A table: two videos with captions, a picture without one."""
    folder = tmp_path_factory.mktemp("systems")
    helpers_catalog.video(folder / "dog.mp4", 2.0, hue=20)
    helpers_catalog.video(folder / "rain.mp4", 1.2, hue=120)
    helpers_catalog.still(folder / "plain.png")
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["uri", "caption"], ["dog.mp4", "a dog barks"], ["rain.mp4", "heavy rain"], ["plain.png", ""]]
        )
    return str(folder / "table.csv")


@pytest.mark.slow
def test_captions_of_the_catalog_become_sound(ray_session, catalog, tmp_path):
    arguments = [f"--set={item}" for item in SETTINGS]
    code = main(
        ["generate", catalog, "--output", str(tmp_path), "--models", "miniature", "--via-text", "caption",
         *arguments]
    )  # fmt: skip
    assert code == 0
    rows = index(tmp_path)
    assert rows["plain.png"]["reject_type"] == "NoText"
    assert rows["dog.mp4"]["condition_texts"] == ["a dog barks"] * 2
    for name in ("dog.mp4", "rain.mp4"):
        row = rows[name]
        assert (row["status"], row["mapper"], row["bundle"]) == ("ok", "text:caption", "miniature")
        waveform, rate = soundfile.read(row["audio_path"])
        assert len(waveform) == pytest.approx(row["duration_s"] * rate, abs=1)
        assert 0.01 < np.abs(waveform).max() <= 0.9


@pytest.mark.slow
def test_the_other_systems_without_a_mapper(ray_session, catalog, tmp_path):
    generate.run([catalog], str(tmp_path / "none"), job(), mapper="none", models="miniature")
    rows = index(tmp_path / "none")
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert {row["mapper"] for row in rows.values()} == {"none"}
    blip = helpers_blip.save_blip(tmp_path / "blip")
    captioned = job("via_text=blip", f"captioner.weights={blip}", "captioner.max_tokens=5")
    generate.run([catalog], str(tmp_path / "via"), captioned, models="miniature")
    rows = index(tmp_path / "via")
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert all(text for row in rows.values() for text in row["condition_texts"])
    assert all(row["mapper"].startswith("text:blip:") for row in rows.values())


@pytest.mark.parametrize(
    ("mapper", "embeddings", "overrides", "said"),
    [
        (None, None, (), "give --mapper URI"),
        ("mapper/", None, ("via_text=caption",), "uses no mapper: leave --mapper mapper/ out"),
        (None, "embeddings/", ("via_text=label",), "leave --embeddings out"),
    ],
)
def test_options_that_contradict_each_other_are_refused(mapper, embeddings, overrides, said):
    with pytest.raises(ConfigError, match=said):
        conditions.check(mapper, embeddings, job(*overrides))


def test_a_mapper_into_the_space_of_another_clap_is_refused_by_name(tmp_path):
    """AudioLDM-m has a CLAP of its own, HTSAT-base: what was mapped for HTSAT-tiny is noise to it."""
    tiny, base = helpers_models.bundle(), helpers_models.bundle(name="paper-m", clap_config="HTSAT-base")
    mapper = helpers_catalog.random_mapper(tmp_path, tiny)
    assert len(conditions.choose(mapper, job(), tiny).fingerprint) == 64
    with pytest.raises(ConfigError, match=r"audio space 'HTSAT-tiny\+sinc:.*, bundle 'paper-m' has 'HTSAT-base\+sinc:"):
        conditions.choose(mapper, job(), base)


def test_the_bundle_of_the_middle_size_names_the_larger_clap():
    assert load_bundle("paper-m").settings.audio.config == "HTSAT-base"
