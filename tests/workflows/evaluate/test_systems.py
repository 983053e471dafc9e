"""Systems side by side, whoever made them, and whatever is wrong with their files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from helpers_evaluate import job
from helpers_media import tone
from helpers_networks import published_weights

from v2a_core.config import ConfigError
from v2a_core.media.write import read_audio
from v2a_core.outputs.ledger import read_columns
from v2a_core.reproduction.comparison import Comparison
from v2a_core.reproduction.paper import FAD, FD
from v2a_core.verification import verify
from workflows.cli.main import main
from workflows.evaluate import systems
from workflows.page import job as page
from workflows.page.config import PageSettings

IDS = ("rain/one", "bell/one", "still", "shard-000/key0")


def write(folder: Path, key: str, samples: np.ndarray, rate: int = 16_000) -> None:
    path = folder / f"{key}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, "FLOAT")


@pytest.fixture(scope="module")
def places(made, tmp_path_factory):
    """Soundtracks of our own, a folder of another program in which much is wrong, and references."""
    root = tmp_path_factory.mktemp("systems")
    ours = root / "soundtracks"
    shutil.copytree(made.soundtracks, ours)
    lengths = {key: read_audio(next((ours / "audio").glob(f"{key}-*.wav")))[0].size / 16_000 for key in IDS}
    for number, key in enumerate(IDS):
        write(root / "references", key, tone(lengths[key], 300.0 + 200 * number, 16_000))
        wide = np.stack([tone(lengths[key], 300.0 + 210 * number, 44_100)] * 2, axis=1)
        write(root / "theirs", key, wide, 44_100)
    write(root / "theirs", "bell/one", np.zeros(round(lengths["bell/one"] * 44_100), np.float32), 44_100)
    write(root / "theirs", "still", tone(lengths["still"] / 2, 500.0, 48_000), 48_000)
    write(root / "theirs", "extra", tone(1.0, 500.0, 16_000))
    (root / "theirs" / "shard-000" / "key0.wav").write_bytes(b"RIFF, it says")
    torch.save(published_weights("wav2clip"), root / "Wav2CLIP.pt")
    return root


def settings(places: Path, *more: str):
    return job(f"extractors.wav2clip.weights={places / 'Wav2CLIP.pt'}", "metrics.resamples=20", *more)


def compare(places: Path, output: Path) -> dict:
    named = {"ours": str(places / "soundtracks"), "theirs": str(places / "theirs")}
    pairs = [("ours", "theirs"), ("theirs", "ours")]
    references = str(places / "references")
    return systems.run(named, references, str(output), settings(places), pairs=pairs, models="miniature")


@pytest.fixture(scope="module")
def compared(places, tmp_path_factory):
    output = tmp_path_factory.mktemp("compared")
    return output, compare(places, output)


def test_what_is_wrong_with_files_is_counted_and_listed(compared):
    ours, theirs = compared[1]["files"]["ours"], compared[1]["files"]["theirs"]
    assert ours["count"] == 6
    assert ours["extra"] == {"count": 2, "ids": ["bell/mute & odd%20[name]", "shard-000/key1"]}
    assert ours["missing"]["count"] == ours["unreadable"]["count"] == 0
    assert theirs["extra"]["ids"] == ["extra"]
    assert theirs["silent"]["ids"] == ["bell/one"]
    assert list(theirs["unreadable"]["ids"]) == ["shard-000/key0"]
    assert "not a readable audio file" in theirs["unreadable"]["ids"]["shard-000/key0"]
    assert {"still": 48_000}.items() <= theirs["other_rates"]["ids"].items()
    assert list(theirs["other_lengths"]["ids"]) == ["still"]
    assert compared[1]["not_heard"] == {}  # those have no part in it


def test_numbers_stand_side_by_side_with_what_made_them(compared):
    output, content = compared
    ours, theirs = content["systems"]["ours"], content["systems"]["theirs"]
    assert ours.keys() == theirs.keys()
    assert (ours["clap_frechet"]["count"], theirs["clap_frechet"]["count"]) == (4, 3)
    assert ours["clap_similarity_condition"]["count"] == 3  # the soundtrack of three segments has no one condition
    assert "not_measured" in theirs["clap_similarity_condition"]
    assert theirs["event_l1"]["count"] == 3
    assert ours["clap_frechet"]["extractor"] == "clap"
    assert len(ours["clap_frechet"]["sha256"]) == 64
    assert ours["clap_frechet"]["protocol"]["name"] == "paper"
    assert {"theirs"} == content["differences"]["clap_frechet"].keys()
    difference = content["differences"]["clap_frechet"]["theirs"]["value"]
    assert difference == pytest.approx(theirs["clap_frechet"]["value"] - ours["clap_frechet"]["value"])
    there, back = (pair["differences"]["clap_frechet"] for pair in content["pairs"])
    assert (content["pairs"][0]["first"], content["pairs"][0]["second"]) == ("ours", "theirs")
    assert there["value"] == pytest.approx(-back["value"])
    assert back == content["differences"]["clap_frechet"]["theirs"]
    found = Comparison.read(content)
    assert found.metric(FD) == "clap_frechet"
    assert found.pairs["theirs", "ours"]["clap_frechet"].value == back["value"]
    assert found.reference("class_accuracy") == found.score("ours", "class_accuracy_reference")
    assert "vggish.weights names no checkpoint" in found.reason("theirs", FAD.metrics)
    text = (output / "metrics.md").read_text()
    assert "theirs, other lengths: still" in text
    assert "Minus ours, with intervals of the pairs" in text
    assert json.loads((output / "metrics.json").read_text()) == json.loads(json.dumps(content))
    clips = pq.read_table(output / "clips.parquet").to_pylist()
    found = {row["id"]: row["value"] for row in clips if (row["system"], row["metric"]) == ("theirs", "event_l1")}
    assert np.mean(list(found.values())) == pytest.approx(theirs["event_l1"]["value"], rel=1e-6)
    sounds = pq.read_table(output / "sounds.parquet").to_pylist()
    (broken,) = [row for row in sounds if row["error"]]
    assert (broken["system"], broken["id"]) == ("theirs", "shard-000/key0")
    assert {row["seed"] for row in sounds if row["system"] == "ours"} == {0}  # what our own index knows of it
    assert {row["seed"] for row in sounds if row["system"] != "ours"} == {None}
    for name in ("ours", "theirs"):
        assert verify(str(output / "systems" / name)).problems == []


def test_the_same_again_hears_nothing(compared, places, capsys):
    output, content = compared
    before = {path: path.stat().st_mtime_ns for path in output.glob("**/part-*")}
    again = compare(places, output)
    assert again == content
    # Two systems; the folders of their sounds and of the references' of CLAP, the judge and a network.
    assert capsys.readouterr().out.count("nothing to do") == 2 + 2 * 3
    assert before == {path: path.stat().st_mtime_ns for path in output.glob("**/part-*")}


def test_references_are_heard_with_the_first_system_and_not_again(compared):
    output, content = compared
    columns, heard = ["segment_id", "recorded_at", "source_uri"], {}
    for extractor, found in (("clap", "embedding"), ("judge", "verdict")):
        for kind in ("made", "references"):
            (folder,) = (output / "features" / kind / extractor).glob("*/rows")
            heard[kind] = read_columns(str(folder), [*columns, found]).to_pylist()
        assert len(heard["references"]) == len({row["segment_id"] for row in heard["references"]}) == len(IDS)
        theirs = [row["recorded_at"] for row in heard["made"] if "/theirs/" in row["source_uri"]]
        assert len(theirs) == 3
        assert max(row["recorded_at"] for row in heard["references"]) < min(theirs)
    told = {row["id"]: row["verdict"] for row in pq.read_table(output / "sounds.parquet").to_pylist()
            if row["system"] == "references"}  # fmt: skip
    assert sorted(told.values()) == sorted(row["verdict"] for row in heard["references"])
    accuracy = [content["systems"][name]["class_accuracy_reference"] for name in ("ours", "theirs")]
    assert accuracy[0]["count"] > 0
    assert accuracy[0]["extractor"] == accuracy[1]["extractor"] == "judge"


def features(output: Path) -> Path:
    (rows,) = (output / "features" / "made" / "wav2clip").glob("*/rows")
    return next(rows.glob("part-*"))


def change_number(output: Path) -> None:
    path = output / "metrics.json"
    content = json.loads(path.read_text())
    content["systems"]["ours"]["clap_frechet"]["value"] += 0.125
    path.write_text(json.dumps(content))


def flip_bytes(output: Path) -> None:
    part = features(output)
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 0xFF
    part.write_bytes(content)


DAMAGES = {
    "a number is changed": (change_number, "metrics.json: "),
    "a table is gone": (lambda output: (output / "metrics.md").unlink(), "metrics.md: "),
    "a feature is changed": (flip_bytes, "features/made/wav2clip/"),
    "features are gone": (lambda output: shutil.rmtree(output / "features" / "references"), "features/references/"),
    "a system is gone": (lambda output: shutil.rmtree(output / "systems" / "theirs"), "systems/theirs: this part"),
    "rows of a system are gone": (
        lambda output: next((output / "systems" / "ours" / "rows").glob("part-*")).unlink(),
        "systems/ours: ",
    ),
}


def test_all_of_a_comparison_is_verified(compared):
    report = verify(str(compared[0]))
    assert report.problems == []
    assert len(report.inside) == 2 + 2 * 3  # systems; what CLAP, judge and network hear of them and of references
    assert report.summary.startswith("a comparison of systems, with 8 outputs of ")


FIRST = next(iter(DAMAGES))


@pytest.mark.parametrize(
    "name", [name if name == FIRST else pytest.param(name, marks=pytest.mark.slow) for name in DAMAGES]
)
def test_a_damage_anywhere_in_a_comparison_is_found(compared, tmp_path, name):
    damage, said = DAMAGES[name]
    copy = shutil.copytree(compared[0], tmp_path / "copy")
    damage(copy)
    problems = verify(str(copy)).problems
    assert any(problem.startswith(said) for problem in problems), problems
    assert main(["verify", str(copy)]) != 0


@pytest.mark.slow
def test_what_is_damaged_is_taken_out_and_made_anew(compared, places, tmp_path):
    copy = shutil.copytree(compared[0], tmp_path / "copy")
    flip_bytes(copy)
    change_number(copy)
    assert main(["verify", str(copy), "--repair"]) == 0
    assert compare(places, copy) == compared[1]
    assert verify(str(copy)).problems == []


def test_the_page_of_a_comparison_shows_every_sound(compared, tmp_path, capsys):
    assert main(["page", str(compared[0]), "--output", str(tmp_path / "page")]) == 0
    assert "7 clips" in capsys.readouterr().out
    text = (tmp_path / "page" / "index.html").read_text()
    assert text.count('class="row"') == 7  # those without a reference, too
    assert text.count('class="play"') == 4 + 6 + 3  # references, ours, and theirs that can be heard
    assert "not a readable audio file" in text
    assert "it is silent" in text
    assert "theirs: 1 other lengths: still" in text
    assert "CLAP similarity to the reference" in text
    sounds = list((tmp_path / "page" / "page-media").glob("*.wav"))
    assert len(sounds) == 13
    with pytest.raises(ConfigError, match="--metrics goes with soundtracks"):
        page.run(str(compared[0]), PageSettings(), metrics=str(compared[0]))


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    for arguments, message in (
        (["x", "--system", "a=b"], "give either SOUNDTRACKS"),
        (["--system", "a"], "give NAME=PLACE"),
        (["--system", "a=b", "--system", "a=c"], "given twice"),
        (["--system", "../a=b"], "a name of letters"),
        (["x", "--references", "r"], "--references goes with --system"),
        (["--system", f"a={tmp_path}"], "holds no sound"),
    ):
        assert main(["evaluate", *arguments, "--output", str(tmp_path / "out"), "--models", "miniature"]) == 2
        assert message in capsys.readouterr().err


def test_ids_are_file_names_where_they_are_unique(tmp_path):
    from v2a_core.metrics.systems.places import by_id, list_place

    for place, keys in {"a": ("one", "x/two"), "b": ("y/one", "two")}.items():
        for key in keys:
            write(tmp_path / place, key, tone(0.1))
    found = by_id({name: list_place(str(tmp_path / name)) for name in "ab"})
    assert found["a"].keys() == found["b"].keys() == {"one", "two"}
    (tmp_path / "index.csv").write_text("id,path,label\nfirst,a/one.wav,rain\n")
    (item,) = list_place(str(tmp_path / "index.csv"))
    assert (item.path, item.label, Path(item.uri)) == ("first", "rain", tmp_path / "a" / "one.wav")
    (tmp_path / "index.csv").write_text("id,path,prompt,seed\nfirst,a/one.wav,a roof,7\n")
    (item,) = list_place(str(tmp_path / "index.csv"))
    assert (item.prompt, item.seed) == ("a roof", 7)
    (tmp_path / "index.csv").write_text("id,path,seed\nfirst,a/one.wav,lucky\n")
    with pytest.raises(ConfigError, match="row 1: a seed is a whole number, not 'lucky'"):
        list_place(str(tmp_path / "index.csv"))
    (tmp_path / "index.csv").write_text("id,path\nfirst,\n")
    with pytest.raises(ConfigError, match=r"row 1: an index of sounds needs id and path, this row has \['id'\]"):
        list_place(str(tmp_path / "index.csv"))
