from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

import av
import helpers_catalog
import helpers_outputs
import numpy as np
import pytest
import soundfile
from helpers_evaluate import QUICK, SAMPLING, sampling

import v2a_core
from v2a_core.catalog import contents
from v2a_core.config import ConfigError
from v2a_core.models import load_bundle
from v2a_core.outputs import unfinished
from v2a_core.outputs.ledger import part_files
from workflows.cli.main import main
from workflows.generate import job as generate


def index(output) -> dict[str, dict]:
    return {row["source_name"]: row for row in helpers_outputs.index_rows(output)}


@pytest.fixture(scope="module")
def catalog(made):
    return Path(made.listed[0]).parent


@pytest.fixture(scope="module")
def mapper(made):
    return made.mapper


@pytest.fixture(scope="module")
def listed(made):
    return made.listed


@pytest.fixture(scope="module")
def generated(made):
    return made.soundtracks, made.summary


def durations(path) -> tuple[float, float]:
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        return float(video.duration * video.time_base), float(audio.duration * audio.time_base)


def test_every_readable_source_has_its_files(generated):
    output, summary = generated
    rows = index(output)
    assert len(rows) == 8
    assert sorted(name for name, row in rows.items() if row["status"] != "ok") == ["broken.mp4", "gone.mp4"]
    assert (summary["counts"]["sources_rejected"], summary["counts"]["sources_missing"]) == (1, 1)
    for row in rows.values():
        if row["status"] != "ok":
            assert row["audio_path"] is None
            continue
        waveform, rate = soundfile.read(row["audio_path"])
        assert rate == row["sample_rate_hz"] == 16_000
        assert len(waveform) == pytest.approx(row["duration_s"] * rate, abs=1)
        assert np.isfinite(waveform).all()
        assert 0.01 < np.abs(waveform).max() <= 10 ** (-1 / 20) + 1e-3  # neither silent nor clipped
        assert (row["video_path"] is None) == (row["kind"] == "image")


def test_a_row_of_a_table_that_names_no_file_costs_itself(generated):
    output, summary = generated
    row = index(output)["gone.mp4"]
    assert (row["status"], row["reject_stage"], row["reject_type"]) == ("rejected", "catalog", "NotFound")
    assert (summary["totals"]["rows_rejected"], summary["totals"]["sources_missing"]) == (1, 1)
    assert "catalog: NotFound" not in summary["totals"]["rejected_by_reason"]


def test_files_are_told_by_their_hashes(generated):
    for row in index(generated[0]).values():
        for path, sha256 in ((row["audio_path"], row["audio_sha256"]), (row["video_path"], row["video_sha256"])):
            assert (path is None) == (sha256 is None)
            assert path is None or hashlib.sha256(Path(path).read_bytes()).hexdigest() == sha256


def test_sound_and_picture_of_a_video_last_equally_long(generated, catalog):
    rows = index(generated[0])
    for name in ("rain/one.mp4", "bell/mute & odd%20[name].mp4"):
        video, audio = durations(rows[name]["video_path"])
        assert audio == pytest.approx(video, abs=0.05)
        assert video == pytest.approx(durations_of_video(catalog / name), abs=0.01)


def durations_of_video(path) -> float:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        return float(video.duration * video.time_base)


def test_names_mirror_the_catalog_and_never_collide(generated):
    rows = index(generated[0])
    assert "/audio/rain/one-" in rows["rain/one.mp4"]["audio_path"]
    assert "/audio/bell/one-" in rows["bell/one.mp4"]["audio_path"]
    assert len({row["audio_path"] for row in rows.values()}) == 7  # six soundtracks, and none


def test_a_second_run_does_nothing_and_tells_what_is_there(generated, listed, mapper, tmp_path, monkeypatch, capsys):
    shutil.copytree(generated[0], tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    for output in (str(generated[0]), "moved"):
        summary = generate.run(listed, output, sampling(), mapper=mapper, models="miniature")
        assert (summary["counts"]["sources_done_now"], summary["totals"]) == (0, generated[1]["totals"])
        out = capsys.readouterr().out
        assert "nothing to do: all 8 sources were done before" in out
        assert "the output holds 6 soundtracks of 8 sources; rejected: " in out
        assert "missing: 1 sources that the listing names and nobody has" in out


def test_nothing_made_is_no_success(mapper, tmp_path, capsys):
    (tmp_path / "table.csv").write_text("uri\ngone.mp4\nalso gone.mp4\n")
    command = ["generate", str(tmp_path / "table.csv"), "--mapper", mapper, "--models", "miniature"]
    for _ in range(2):
        assert main([*command, "--output", str(tmp_path / "soundtracks")]) == 3
        assert "nothing could be made of any of the 2 sources (2 x catalog: NotFound)" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_while_listing_waits_for_the_next_run(mapper, tmp_path, monkeypatch, capsys):
    """A disk that fails, planted under one file: nothing of it is final."""
    stubborn = helpers_catalog.still(tmp_path / "catalog" / "stubborn.png")

    def fail(path, *arguments, opens=os.open):
        if str(path) == str(stubborn):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return opens(path, *arguments)

    command = ["generate", str(stubborn.parent), "--mapper", mapper, "--models", "miniature"]
    with monkeypatch.context() as planted:
        planted.setattr(contents.os, "open", fail)
        assert main([*command, "--output", str(tmp_path / "soundtracks")]) == 1
    assert "1 source could not be fetched or written (1 x fetch: OSError)" in capsys.readouterr().err
    assert unfinished.read(str(tmp_path / "soundtracks"))["source_name"].to_pylist() == ["stubborn.png"]
    assert part_files(f"{tmp_path}/soundtracks/index") == []


@pytest.mark.slow  # the generator's own tests say so too, in seconds
def test_the_same_source_sounds_the_same_in_any_batch(generated, catalog, mapper, tmp_path):
    alone = sampling("pools.segments_per_batch=1", "pools.soundtracks_per_batch=1", "generator.micro_batch=1")
    path = catalog / "rain" / "one.mp4"
    generate.run([str(path)], str(tmp_path), alone, mapper=mapper, models="miniature")
    (row,) = index(tmp_path).values()
    one, _ = soundfile.read(row["audio_path"])
    other, _ = soundfile.read(index(generated[0])["rain/one.mp4"]["audio_path"])
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_another_seed_on_the_same_output_is_refused(generated, listed, mapper):
    with pytest.raises(ConfigError, match=r"identity\.seed: the output has 0, this run 1"):
        generate.run(listed, str(generated[0]), sampling("seed=1"), mapper=mapper, models="miniature")


def test_a_mapper_of_another_space_is_refused_naming_both(ray_session, catalog, tmp_path):
    local = load_bundle("miniature").resolve()
    stranger = helpers_catalog.random_mapper(tmp_path / "mapper", local, vision="clip:other")
    with pytest.raises(ConfigError, match="vision space 'clip:other'"):
        generate.run([str(catalog)], str(tmp_path / "out"), sampling(), mapper=stranger, models="miniature")


def test_a_missing_mapper_is_refused(ray_session, catalog, tmp_path):
    with pytest.raises(ConfigError, match="is not a mapper that `v2a train` exported"):
        generate.run(
            [str(catalog)], str(tmp_path / "out"), sampling(), mapper=str(tmp_path / "none"), models="miniature"
        )


def test_one_call_without_ray_makes_the_same_sound(generated, catalog, mapper):
    sampled = [*SAMPLING, *QUICK]
    for name in ("rain/one.mp4", "still.png"):
        made = v2a_core.soundtrack(str(catalog / name), mapper, models="miniature", settings=sampled)
        written, rate = soundfile.read(generated[0] / index(generated[0])[name]["audio_path"], dtype="float32")
        assert made.sample_rate == rate
        # Of 16 bits, in other batches and on another number of threads.
        np.testing.assert_allclose(made.waveform, written, rtol=0, atol=4 / 2**15)
