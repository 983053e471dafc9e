"""`v2a generate --embeddings`: what an earlier `v2a embed` saw is not decoded again."""

from __future__ import annotations

import functools

import helpers_catalog
import helpers_models
import helpers_outputs
import numpy as np
import pytest
import soundfile

from v2a_core.config import ConfigError, load
from v2a_core.models import load_bundle
from v2a_core.stages.decode import DecodeSettings
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.generate import conditions
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob

pytestmark = pytest.mark.slow

SAMPLING = ("segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0")
# A planted decoder leaves notes beside its input.
SETTINGS = (*SAMPLING, "encoders.precision=fp32", "output.interval_s=0", "decoder.confine=false")
GENERATOR = ("generator.num_inference_steps=2", "generator.precision=fp32")


def job(*overrides: str) -> GenerateJob:
    return load(GenerateJob, job="generate", overrides=[*SETTINGS, *GENERATOR, *overrides])


def index(output) -> dict[str, dict]:
    return {row["source_name"]: row for row in helpers_outputs.index_rows(output)}


def opened(catalog) -> set[str]:
    """Names of the videos that were decoded since this was asked the last time."""
    notes = list(catalog.glob("*.pid"))
    for note in notes:
        note.unlink()
    return {note.stem for note in notes}


@pytest.fixture(scope="module")
def world(ray_session, tmp_path_factory):
    """Three videos, two of them embedded, and a mapper."""
    folder = tmp_path_factory.mktemp("embedded")
    for number, seconds in enumerate((2.6, 1.0, 1.3)):
        helpers_catalog.video(folder / "catalog" / f"{number}.mp4", seconds, hue=30 + 60 * number)
    inputs = [str(folder / "catalog" / f"{number}.mp4") for number in (0, 1)]
    embed.run(
        inputs, str(folder / "embeddings"), load(EmbedJob, job="embed", overrides=list(SETTINGS)), models="miniature"
    )
    return folder, helpers_catalog.random_mapper(folder / "mapper", load_bundle("miniature").resolve())


def test_the_same_sounds_without_decoding_again(world, tmp_path, monkeypatch):
    folder, mapper = world
    # This decoder leaves a note beside each file that it opens.
    watched = functools.partial(DecodeSettings, decoder="planted_decoders:by_name")
    monkeypatch.setattr(conditions, "DecodeSettings", watched)
    arguments = ([str(folder / "catalog")], job())
    options = {"mapper": mapper, "models": "miniature"}
    generate.run(arguments[0], str(tmp_path / "plain"), arguments[1], **options)
    assert opened(folder / "catalog") == {"0", "1", "2"}
    generate.run(arguments[0], str(tmp_path / "reused"), arguments[1], embeddings=str(folder / "embeddings"), **options)
    assert opened(folder / "catalog") == {"2"}  # which was not embedded
    want, got = index(tmp_path / "plain"), index(tmp_path / "reused")
    assert got.keys() == want.keys() == {"0.mp4", "1.mp4", "2.mp4"}
    for name, row in got.items():
        assert (row["status"], row["source_id"]) == ("ok", want[name]["source_id"])
        assert row["segment_ids"] == want[name]["segment_ids"]
        assert row["duration_s"] == pytest.approx(want[name]["duration_s"])
        np.testing.assert_allclose(
            soundfile.read(row["audio_path"])[0], soundfile.read(want[name]["audio_path"])[0], atol=2e-3
        )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("frames.frames_per_second=3.0", r"frames\.frames_per_second: the embeddings have 2\.0, this run 3\.0"),
        ("segments.length_s=2.0", r"segments\.length_s: the embeddings have 1\.0, this run 2\.0"),
    ],
)
def test_embeddings_of_another_sampling_are_refused(world, tmp_path, override, said):
    folder, mapper = world
    with pytest.raises(ConfigError, match=said):
        generate.run(
            [str(folder / "catalog")], str(tmp_path), job(override), mapper=mapper, models="miniature",
            embeddings=str(folder / "embeddings"),
        )  # fmt: skip


def test_embeddings_of_another_vision_space_are_refused(world, tmp_path):
    folder, _ = world
    other = helpers_models.miniature().vision.path.parents[1]
    mapper = helpers_catalog.random_mapper(tmp_path / "mapper", load_bundle(str(other)).resolve())
    with pytest.raises(ConfigError, match=r"vision space: the embeddings have 'ViT-miniature:\w+', this run 'ViT-"):
        generate.run(
            [str(folder / "catalog")], str(tmp_path / "out"), job(), mapper=mapper, models=str(other),
            embeddings=str(folder / "embeddings"),
        )  # fmt: skip


def test_what_is_no_output_of_embed_is_refused(world, tmp_path):
    folder, mapper = world
    with pytest.raises(ConfigError, match="is not an output of `v2a embed`"):
        generate.run(
            [str(folder / "catalog")], str(tmp_path / "out"), job(), mapper=mapper, models="miniature",
            embeddings=str(tmp_path),
        )  # fmt: skip
