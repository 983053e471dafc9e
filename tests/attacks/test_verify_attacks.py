"""Outputs of real jobs, damaged in every way that one thinks of: named, taken out, made anew by the same command."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import helpers_catalog
import helpers_embeddings
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from v2a_core.config import load
from v2a_core.models import load_bundle
from v2a_core.outputs import ledger
from v2a_core.outputs.parts import checksum
from v2a_core.verification import PartReader, repair, verify
from workflows.cli.main import main
from workflows.evaluate import job as evaluate
from workflows.evaluate.config import EvaluateJob
from workflows.generate import job as generate
from workflows.generate.config import GenerateJob
from workflows.train import job as train
from workflows.train.config import TrainJob

QUICK = (
    *("segments.length_s=1.0", "segments.min_length_s=0.4", "frames.frames_per_second=2.0", "output.interval_s=0"),
    *("frames.image_segment_s=1.0", "generator.num_inference_steps=2", "generator.precision=fp32"),
    "encoders.precision=fp32",
)
EVALUATION = (
    "encoders.precision=fp32",
    "metrics.resamples=20",
    "output.interval_s=0",
)
TRAINING = (
    *("mapper.method.kind=regression", "mapper.network.kind=mlp", "mapper.network.width=32", "mapper.network.depth=1"),
    *("training.epochs=2", "training.global_batch=64", "training.precision=fp32", "scaling.threads=1"),
)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    for number in range(4):
        helpers_catalog.video(folder / "catalog" / f"{number}.mp4", 1.0 + 0.5 * (number == 0), hue=50 * number)
    helpers_catalog.still(folder / "catalog" / "still.png")
    return str(folder / "catalog")


@pytest.fixture(scope="module")
def make(ray_session, catalog, tmp_path_factory):
    """`v2a generate` into an output, always the same command."""
    mapper = helpers_catalog.random_mapper(tmp_path_factory.mktemp("mapper"), load_bundle("miniature").resolve())
    job = load(GenerateJob, job="generate", overrides=QUICK)
    return lambda output: generate.run([catalog], str(output), job, mapper=mapper, models="miniature")


@pytest.fixture(scope="module")
def made(make, tmp_path_factory):
    output = tmp_path_factory.mktemp("made") / "soundtracks"
    make(output)
    return output


@pytest.fixture
def output(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "soundtracks"))


@pytest.fixture(scope="module")
def reader():
    reader = PartReader()
    yield reader
    reader.close()


@pytest.fixture
def check(reader, monkeypatch):
    monkeypatch.setattr(PartReader, "__exit__", lambda *_: None)
    return lambda folder: verify(str(folder), reader)


def sounds(output):
    return sorted(output.glob("audio/*.wav"))


def parts(output):
    return sorted(output.glob("index/part-*.parquet"))


def media(output):
    files = [*output.glob("audio/*"), *output.glob("video/*")]
    return {file.name: file.read_bytes() for file in files}


def flip(path, seed=0):
    content = bytearray(path.read_bytes())
    content[random.Random(seed).randrange(100, len(content))] ^= 8
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-50])


def swap(output):
    first, second, *_ = sounds(output)
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def renamed(part, content):
    """Other bytes in a part, whose name has a checksum that fits them."""
    part.write_bytes(content)
    return part.rename(part.with_name(f"{part.stem.rpartition('-')[0]}-{checksum(part)}.parquet"))


def rewritten(part, table):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return renamed(part, sink.getvalue().to_pybytes())


def of_another(output):
    table = pq.read_table(parts(output)[0])
    told = {**table.schema.metadata, b"v2a.identity": b"f" * 32}
    rewritten(parts(output)[0], table.replace_schema_metadata(told))


def twice(output):
    shutil.copy(parts(output)[0], parts(output)[0].with_name("part-9999999999999999999.parquet"))


def outside(output):
    table = pq.read_table(parts(output)[0])
    paths = pa.array(["../../secret.wav"] * table.num_rows)
    rewritten(parts(output)[0], table.set_column(table.schema.get_field_index("audio_path"), "audio_path", paths))


DAMAGES = {
    "a bit of a sound": (lambda output: flip(sounds(output)[0]), "audio_path: the file is not the one"),
    "a bit of a video": (lambda output: flip(sorted(output.glob("video/*"))[0]), "video_path: the file is not the one"),
    "the end of a sound": (lambda output: cut(sounds(output)[1]), "audio_path: the file is not the one"),
    "two sounds swapped": (swap, "2 rows: audio_path: the file is not the one|1 rows: audio_path: the file is not"),
    "an empty sound": (lambda output: sounds(output)[2].write_bytes(b""), "audio_path: the file is empty"),
    "no sound": (lambda output: sounds(output)[0].unlink(), "audio_path: there is no such file"),
    "no sounds at all": (lambda output: shutil.rmtree(output / "audio"), "audio_path: there is no such file"),
    "a bit of a part": (lambda output: flip(parts(output)[0]), "not those that were written"),
    "a part of something else": (lambda output: renamed(parts(output)[0], b"PAR1" * 99), "not readable as Parquet"),
    "a part of another output": (of_another, "belongs to another output"),
    "a lost part": (lambda output: parts(output)[0].unlink(), "this part is gone"),
    "a part twice": (twice, "stand in several rows"),
    "a path that leads out": (outside, "the path leads out of the output"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_taken_out(output, check, damage):
    """Soundtracks are damaged: verify names it, --repair takes it out and touches nothing else."""
    plant, said = DAMAGES[damage]
    plant(output)
    good = media(output)
    report = check(output)
    assert any(one in problem for problem in report.problems for one in said.split("|"))
    repair(report)
    assert check(output).problems == [
        "manifest: the last run is 'repaired', not done: run the same `v2a generate` again"
    ]
    assert media(output) == good


def test_all_damages_together_are_made_anew(output, make, made, check, capsys):
    """All of them in one output: verify, --repair, the same generate again, and every file is as before."""
    assert check(output).problems == []
    flip(sounds(output)[0])
    sounds(output)[1].unlink()
    cut(sorted(output.glob("video/*"))[2])
    twice(output)
    parts(output)[-2].unlink()
    assert main(["verify", str(output)]) == 1
    assert main(["verify", str(output), "--repair"]) == 0
    assert "run the same `v2a generate` again" in capsys.readouterr().out
    make(output)
    assert main(["verify", str(output)]) == 0, capsys.readouterr().out
    assert media(output).keys() == media(made).keys()
    for one, other in zip(sounds(output), sounds(made), strict=True):
        # Whoever shares a batch decides about the last bit.
        np.testing.assert_allclose(soundfile.read(one)[0], soundfile.read(other)[0], atol=2e-4)


def test_a_run_over_an_unreadable_part_names_it(output, make):
    """A part of the index is damaged and generate runs again: it says which and what to do."""
    planted = renamed(parts(output)[0], b"PAR1" * 99)
    with pytest.raises(ledger.UnreadablePartError, match=f"{planted.name} is damaged.*v2a verify .* --repair"):
        make(output)


def damaged(content, seed):
    """Bytes with flipped bits, a missing end, or zeros in them."""
    chance, data = random.Random(seed), bytearray(content)
    kind = chance.choice(["flips", "end", "zeros", "footer"])
    if kind == "flips":
        for _ in range(chance.choice([1, 50])):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "end":
        del data[chance.randrange(len(data)) :]
    elif kind == "zeros":
        start = chance.randrange(len(data))
        length = min(chance.randrange(1, 4096), len(data) - start)
        data[start : start + length] = bytes(length)
    else:
        for _ in range(chance.randrange(1, 6)):
            data[-1 - chance.randrange(min(len(data), 4000))] ^= 1 << chance.randrange(8)
    return bytes(data)


@pytest.mark.parametrize("fits", [False, True], ids=["as it was named", "named to fit"])
def test_a_hundred_damaged_parts(output, check, fits):
    """100 random damages of a part: each is named, none ends the program."""
    part = parts(output)[0]
    content = part.read_bytes()
    for seed in range(100):
        bad = damaged(content, seed)
        here = part.with_name(part.name)
        here.write_bytes(bad)
        here = renamed(here, bad) if fits else here
        found = check(output).problems if bad != content else ["the same bytes"]
        assert found, seed
        here.unlink()


def test_a_mapper_is_checked_repaired_and_exported_again(ray_session, tmp_path, check):
    """Weights of a mapper are flipped: verify says so, --repair and the same train bring them back."""
    embeddings = helpers_embeddings.write(tmp_path / "embeddings", helpers_embeddings.table(300))
    output, job = tmp_path / "mapper", load(TrainJob, job="train", overrides=TRAINING)
    train.run(embeddings, str(output), job)
    assert check(output).problems == []
    weights = output / "mapper.safetensors"
    content = weights.read_bytes()
    flip(weights)
    assert "mapper.safetensors is not what the training exported (sha256)" in check(output).problems
    repair(check(output))
    assert not weights.exists()
    train.run(embeddings, str(output), job)
    assert check(output).problems == []
    assert weights.read_bytes() == content
    state = sorted(output.glob("checkpoints/**/state.pt"))[0]
    flip(state)
    assert any("the content of state.pt is not what was written" in problem for problem in check(output).problems)
    repair(check(output))
    assert check(output).problems == []


def test_metrics_are_checked_and_computed_again(made, tmp_path, check, ray_session):
    """metrics.json is edited, deleted, cut: verify says so, the same evaluate computes it again."""
    output, job = tmp_path / "metrics", load(EvaluateJob, job="evaluate", overrides=EVALUATION)
    evaluate.run(str(made), str(output), job, models="miniature")
    assert check(output).problems == []
    told = json.loads((output / "metrics.json").read_text())
    next(iter(told["metrics"].values()))["value"] = 0.123
    (output / "metrics.json").write_text(json.dumps(told))
    assert any("does not say what the last run computed" in problem for problem in check(output).problems)
    (output / "metrics.json").write_text("{")
    assert "metrics.json cannot be used" in check(output).problems[0]
    evaluate.run(str(made), str(output), job, models="miniature")
    assert check(output).problems == []


def test_an_interpolation_is_checked_and_made_anew(tmp_path, check):
    """A sound of an interpolation is swapped, its page is gone: verify names both, the same command mends them."""
    output = tmp_path / "between"
    command = ["interpolate", "a bell", "rain", "--output", str(output), "--steps", "2", "--models", "miniature"]
    command += ["--set=duration_s=1.0", "--set=generator.num_inference_steps=2", "--set=generator.precision=fp32"]
    assert main(command) == 0
    assert check(output).problems == []
    shutil.copy(output / "step-01.wav", output / "step-00.wav")
    (output / "index.html").unlink()
    problems = check(output).problems
    assert [problem.partition(":")[0] for problem in problems] == ["index.html", "step-00.wav"]
    assert main(command) == 0
    assert check(output).problems == []


def test_a_folder_of_outputs_is_checked_inside(made, tmp_path, check):
    """A demo's folder, one output of it damaged: named with the output's name, repaired inside."""
    shutil.copytree(made, tmp_path / "demo" / "soundtracks")
    (tmp_path / "demo" / "catalog.json").write_text("{}")
    (tmp_path / "demo" / "index.html").write_text("<html>")
    assert check(tmp_path / "demo").problems == []
    flip(sounds(tmp_path / "demo" / "soundtracks")[0])
    (problem,) = check(tmp_path / "demo").problems
    assert problem.startswith("soundtracks: part-")
    assert repair(check(tmp_path / "demo"))
