from __future__ import annotations

import av
import helpers_catalog
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from v2a_core.config import ConfigError, load
from v2a_core.ledger import part_files
from v2a_core.models import load_bundle
from workflows import generate
from workflows.generate_config import GenerateJob

SETTINGS = (
    "segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0",
    "frames.image_segment_s=1.0", "generator.num_inference_steps=2", "generator.precision=fp32",
    "encoders.precision=fp32", "output.interval_s=0",
)  # fmt: skip


def job(*overrides: str) -> GenerateJob:
    return load(GenerateJob, job="generate", overrides=[*SETTINGS, *overrides])


def index(output) -> dict[str, dict]:
    rows = [row for part in part_files(f"{output}/index") for row in pq.read_table(part).to_pylist()]
    assert len({row["source_id"] for row in rows}) == len(rows)
    return {row["source_name"]: row for row in rows}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return helpers_catalog.catalog(tmp_path_factory.mktemp("world") / "catalog")


@pytest.fixture(scope="module")
def mapper(tmp_path_factory):
    """A small mapper with random weights between the miniature's spaces, saved as `v2a train` saves one."""
    return helpers_catalog.random_mapper(tmp_path_factory.mktemp("mapper"), load_bundle("miniature").resolve())


@pytest.fixture(scope="module")
def generated(ray_session, catalog, mapper, tmp_path_factory):
    output = tmp_path_factory.mktemp("soundtracks")
    summary = generate.run([str(catalog)], str(output), job(), mapper=mapper, models="miniature")
    return output, summary


def durations(path) -> tuple[float, float]:
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        return float(video.duration * video.time_base), float(audio.duration * audio.time_base)


def test_every_readable_source_has_its_files(generated):
    output, summary = generated
    rows = index(output)
    assert len(rows) == 7
    assert [name for name, row in rows.items() if row["status"] != "ok"] == ["broken.mp4"]
    assert summary["counts"]["sources_rejected"] == 1
    for row in rows.values():
        if row["status"] != "ok":
            assert row["audio_uri"] is None
            continue
        waveform, rate = soundfile.read(row["audio_uri"])
        assert rate == row["sample_rate_hz"] == 16_000
        assert len(waveform) == pytest.approx(row["duration_s"] * rate, abs=1)
        assert np.isfinite(waveform).all()
        assert 0.01 < np.abs(waveform).max() <= 10 ** (-1 / 20) + 1e-3  # neither silent nor clipped
        assert (row["video_uri"] is None) == (row["kind"] == "image")


def test_sound_and_picture_of_a_video_last_equally_long(generated, catalog):
    rows = index(generated[0])
    for name in ("rain/one.mp4", "bell/one.mp4", "bell/mute & odd%20[name].mp4"):
        video, audio = durations(rows[name]["video_uri"])
        assert audio == pytest.approx(video, abs=0.05)
        assert video == pytest.approx(durations_of_video(catalog / name), abs=0.01)


def durations_of_video(path) -> float:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        return float(video.duration * video.time_base)


def test_names_mirror_the_catalog_and_never_collide(generated):
    rows = index(generated[0])
    assert "/audio/rain/one-" in rows["rain/one.mp4"]["audio_uri"]
    assert "/audio/bell/one-" in rows["bell/one.mp4"]["audio_uri"]
    assert len({row["audio_uri"] for row in rows.values()}) == 7


def test_a_second_run_does_nothing(generated, catalog, mapper, capsys):
    output, _ = generated
    summary = generate.run([str(catalog)], str(output), job(), mapper=mapper, models="miniature")
    assert summary["counts"]["sources_done_now"] == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.slow  # the generator's own tests say so too, in seconds
def test_the_same_source_sounds_the_same_in_any_batch(generated, catalog, mapper, tmp_path):
    alone = job("pools.segments_per_batch=1", "pools.soundtracks_per_batch=1", "generator.micro_batch=1")
    path = catalog / "rain" / "one.mp4"
    generate.run([str(path)], str(tmp_path), alone, mapper=mapper, models="miniature")
    (row,) = index(tmp_path).values()
    one, _ = soundfile.read(row["audio_uri"])
    other, _ = soundfile.read(index(generated[0])["rain/one.mp4"]["audio_uri"])
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_another_seed_on_the_same_output_is_refused(generated, catalog, mapper):
    with pytest.raises(ConfigError, match=r"identity\.seed: the output has 0, this run 1"):
        generate.run([str(catalog)], str(generated[0]), job("seed=1"), mapper=mapper, models="miniature")


def test_a_mapper_of_another_space_is_refused_naming_both(ray_session, catalog, tmp_path):
    local = load_bundle("miniature").resolve()
    stranger = helpers_catalog.random_mapper(tmp_path / "mapper", local, vision="clip:other")
    with pytest.raises(ConfigError, match="vision space 'clip:other'"):
        generate.run([str(catalog)], str(tmp_path / "out"), job(), mapper=stranger, models="miniature")


def test_a_missing_mapper_is_refused(ray_session, catalog, tmp_path):
    with pytest.raises(ConfigError, match="is not a mapper that `v2a train` exported"):
        generate.run([str(catalog)], str(tmp_path / "out"), job(), mapper=str(tmp_path / "none"), models="miniature")
