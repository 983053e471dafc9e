"""What listeners get: alike in all but the sound, and nothing that says who made it."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import yaml
from helpers_catalog import still
from helpers_listening import LENGTH_S, RATE, key_of, make, noise, page_data, write_sound, write_systems
from helpers_media import tone

from v2a_core.config import ConfigError
from v2a_core.listening.making.config import MakingSettings
from v2a_core.listening.making.headphones import draw_trials, headphone_sound
from v2a_core.listening.making.make import Wanted, make_test
from v2a_core.listening.making.sounds import alike
from v2a_core.media.config import GuardSettings
from v2a_core.media.loudness import loudness, true_peak
from v2a_core.media.types import Pcm
from v2a_core.media.write import read_pcm

KEYS = [f"scene-{number}" for number in range(5)]
SYSTEMS = ("ours-v2", "secret-baseline", "im2wav")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("listening")
    systems = write_systems(root, KEYS, SYSTEMS)
    return root, make(root, systems, webmushra=True, items=4, forms=6)


def sound_of(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)]), rate


def test_sounds_of_an_item_have_one_loudness_length_and_picture(made):
    root, _ = made
    key = key_of(made[1], root)
    assert len(key.rated) == 4
    assert len(key.items) == 5
    for item in key.items:
        assert item.length_s == pytest.approx(LENGTH_S, abs=0.01)
        pictures, levels = set(), []
        for stimulus in item.stimuli:
            path = root / "page" / "media" / f"{stimulus.id}.mp4"
            samples, rate = sound_of(path)
            assert len(samples) / rate == pytest.approx(item.length_s, abs=0.05)
            levels.append(loudness([samples[np.newaxis]], rate))
            with av.open(str(path)) as container:
                pictures.add(b"".join(bytes(packet) for packet in container.demux(video=0) if packet.size))
        assert len(pictures) == 1
        assert np.ptp(levels) < 0.3
        assert {stimulus.loudness_lufs for stimulus in item.stimuli} == {-23.0}


def test_nothing_that_listeners_get_tells_one_system_from_another(made):
    root, found = made
    given = [path for path in (root / "page").rglob("*") if path.is_file()]
    assert len(given) == 1 + 6 + 15
    secrets = [*SYSTEMS, *KEYS, str(root), "key.json"]
    for path in given:
        content = path.read_bytes()
        for secret in secrets:
            assert secret.encode() not in content, (path.name, secret)
            assert secret not in path.name
    for item in found.key.items:
        names = [stimulus.id for stimulus in item.stimuli]
        assert names == sorted(names)
        times = [(root / "page" / "media" / f"{name}.mp4").stat().st_mtime_ns for name in names]
        assert times == sorted(times)  # in the order of blind names, not of systems
        about = []
        for name in names:
            with av.open(str(root / "page" / "media" / f"{name}.mp4")) as container:
                streams = [(stream.type, dict(stream.metadata), stream.time_base) for stream in container.streams]
                about.append((dict(container.metadata), streams, container.duration))
        assert all(other == about[0] for other in about)


def test_systems_stand_everywhere_equally_often_behind_their_blind_names(made):
    root, found = made
    data = page_data(root / "page" / "index.html")
    places = {stimulus.id: stimulus.system for item in found.key.items for stimulus in item.stimuli}
    assert len(data["forms"]) == found.key.forms == 6
    for number, item in enumerate(data["items"]):
        orders = [
            [places[item["stimuli"][place]["id"]] for place in order]
            for form in data["forms"]
            for shown, order, again in form
            if shown == number and not again
        ]
        assert {tuple(order) for order in orders} == set(itertools.permutations(SYSTEMS))
    # Neither is a system always the first, second, ... of the blind names.
    first = {item.stimuli[0].system for item in found.key.items}
    assert len(first) > 1


def test_the_page_stands_alone_and_what_is_in_it_is_there(made):
    root, _ = made
    text = (root / "page" / "index.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert text.count("<script") == 1
    assert not re.search(r"https?://", text)
    data = page_data(root / "page" / "index.html")
    files = [stimulus["file"] for item in data["practice"] + data["items"] for stimulus in item["stimuli"]]
    for file in [*files, *data["headphones"]]:
        assert (root / "page" / file).is_file()


def test_the_same_test_for_webmushra(made):
    root, found = made
    (config,) = (root / "mushra" / "configs").glob("*.yaml")
    assert config.stem == found.key.test
    text = config.read_text(encoding="utf-8")
    # What webMUSHRA's own reader of YAML loses without a word.
    assert not re.search(r"^ *- - ", text, re.MULTILINE)
    content = yaml.safe_load(text)
    assert content["testId"] == found.key.test
    consent, practice, (order, *items), end = content["pages"]
    assert (consent["type"], order, end["type"]) == ("consent", "random", "finish")
    assert end["questionnaire"][0]["name"] == "listener"
    assert len(items) == 4
    trials = [page["id"] for pages in (practice, *items) for page in pages]
    assert trials == [f"{item.id}.{name}" for item in found.key.items for name in ("fidelity", "relevance")]
    for page in itertools.chain(practice, *items):
        assert page["type"] == "likert_multi_stimulus"
        assert [response["value"] for response in page["response"]] == [1, 2, 3, 4, 5]
        for file in page["stimuli"].values():
            assert read_pcm(root / "mushra" / file).sample_rate == 48_000
        film = re.search(r'<video src="([^"]+)"', page["content"])
        assert film is not None
        assert (root / "mushra" / film[1]).is_file()
    names = [path.name for path in (root / "mushra").rglob("*")]
    assert not any(secret in name for name in names for secret in (*SYSTEMS, *KEYS))
    assert not any(secret in config.read_text() for secret in (*SYSTEMS, *KEYS))


def test_a_seed_makes_the_same_test_and_another_one_another(made, tmp_path):
    root, found = made
    systems = {name: str(root / name) for name in SYSTEMS}
    for place in ("again", "other"):
        shutil.copytree(root / "videos", tmp_path / place / "videos")
    again = make(tmp_path / "again", systems, items=4, forms=6)
    other = make(tmp_path / "other", systems, items=4, forms=6, seed=6)
    assert again.key == found.key
    assert again.key.test != other.key.test
    page = root / "page" / "index.html"
    assert (tmp_path / "again" / "page" / "index.html").read_bytes() == page.read_bytes()


def test_without_a_seed_nobody_can_guess_it(made, tmp_path):
    root, _ = made
    shutil.copytree(root / "videos", tmp_path / "videos")
    found = make(tmp_path, {"ours-v2": str(root / "ours-v2")}, items=1, practice=0, headphone_trials=0, seed=None)
    assert found.key.seed > 2**32
    assert found.key.headphones == []
    assert page_data(found.page)["headphones"] == []


def test_what_cannot_be_presented_is_left_out_and_told(tmp_path):
    keys = ["silent", "missing", "short", "broken", "unseen", "no-picture", "good"]
    systems = write_systems(tmp_path, keys, ("ours", "other"))
    write_sound(tmp_path / "other" / "silent.wav", np.zeros(RATE))
    (tmp_path / "other" / "missing.wav").unlink()
    write_sound(tmp_path / "other" / "short.wav", noise(0.3, 0.1, 0))
    (tmp_path / "ours" / "broken.wav").write_bytes(b"RIFF, it says")
    (tmp_path / "videos" / "unseen.mp4").unlink()
    (tmp_path / "videos" / "no-picture.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(3000))
    found = make(tmp_path, systems, items=20)
    assert [item.key for item in found.key.items] == ["good"]
    assert not found.key.items[0].practice  # what counts comes first
    told = dict(found.left_out)
    assert told.keys() == set(keys) - {"good"}
    assert told["silent"] == "other is silent"
    assert told["missing"] == "other has no sound"
    assert told["short"] == "other is 0.30 s long, the shortest may be 1 s"
    assert "ours cannot be read" in told["broken"]
    assert told["unseen"] == "there is no video"
    assert told["no-picture"]
    files = found.material.files["other"]
    assert (files.missing, files.silent) == (("missing",), ("silent",))
    left = {path.name for path in (tmp_path / "page" / "media").iterdir() if not path.name.startswith("tones")}
    assert left == {f"{stimulus.id}.mp4" for stimulus in found.key.items[0].stimuli}


def test_sounds_of_other_lengths_rates_and_channels_become_alike(tmp_path):
    systems = write_systems(tmp_path, ["one"], ("ours", "other"))
    write_sound(tmp_path / "other" / "one.wav", np.stack([tone(4.0, 300.0, 44_100)] * 2, axis=1), 44_100)
    found = make(tmp_path, systems, webmushra=True)
    (item,) = found.key.items
    assert item.length_s == pytest.approx(LENGTH_S, abs=0.01)
    shapes = {read_pcm(path).samples_TC.shape for path in (tmp_path / "mushra").rglob("*.wav")}
    assert len(shapes) == 1
    assert next(iter(shapes))[1] == 1


def test_a_sound_of_high_peaks_lowers_the_others_to_its_loudness():
    clicks = np.zeros((RATE, 1), np.float32)
    clicks[:: RATE // 4] = 0.9
    steady = noise(1.0, 0.05, 0)[:, None]
    found = alike({"clicks": Pcm(clicks, RATE), "steady": Pcm(steady, RATE)}, 1.0, MakingSettings())
    levels = {name: loudness([sound.waveform[np.newaxis]], sound.sample_rate) for name, sound in found.items()}
    assert levels["clicks"] < -25
    assert levels["steady"] == pytest.approx(levels["clicks"], abs=0.1)
    assert true_peak([found["clicks"].waveform[np.newaxis]], 48_000) <= 10 ** (-1 / 20) + 0.01


def test_stills_are_seen_too(tmp_path):
    still(tmp_path / "videos" / "bird.png")
    for name in ("ours", "other"):
        write_sound(tmp_path / name / "bird.wav", noise(1.2, 0.1, len(name)))
    found = make(tmp_path, {name: str(tmp_path / name) for name in ("ours", "other")})
    for stimulus in found.key.items[0].stimuli:
        with av.open(str(tmp_path / "page" / "media" / f"{stimulus.id}.mp4")) as container:
            assert len(container.streams.video) == len(container.streams.audio) == 1


def test_fidelity_alone_needs_nothing_to_look_at(tmp_path):
    systems = write_systems(tmp_path, ["one", "two"], ("ours", "other"))
    shutil.rmtree(tmp_path / "videos")
    with pytest.raises(ConfigError, match=r"there is no video: give --videos.*making\.questions=fidelity"):
        make(tmp_path, systems)
    found = make(tmp_path, systems, questions="fidelity")
    data = page_data(found.page)
    assert [question["name"] for question in data["questions"]] == ["fidelity"]
    assert data["films"] is False
    assert all((tmp_path / "page" / s["file"]).suffix == ".wav" for item in data["items"] for s in item["stimuli"])


def test_the_key_stays_out_of_the_page_and_nothing_is_written_over(tmp_path):
    systems = write_systems(tmp_path, ["one"], ("ours",))
    videos = str(tmp_path / "videos")
    inside = Wanted(systems, str(tmp_path / "page"), f"{tmp_path}/page/../page/key.json", videos=videos)
    with pytest.raises(ConfigError, match="which listeners get"):
        make_test(inside, MakingSettings(), GuardSettings())
    make(tmp_path, systems)
    with pytest.raises(ConfigError, match="a test gets a folder of its own"):
        make(tmp_path, systems)
    shutil.rmtree(tmp_path / "page")
    with pytest.raises(ConfigError, match="is there already"):
        make(tmp_path, systems)


def test_text_of_people_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>\"'"
    systems = write_systems(tmp_path, ["one"], ("ours",))
    wanted = Wanted(
        systems,
        str(tmp_path / "page"),
        str(tmp_path / "key.json"),
        videos=str(tmp_path / "videos"),
        consent=f"First {evil}\n\nSecond",
        webmushra=str(tmp_path / "mushra"),
    )
    found = make_test(wanted, MakingSettings(title=evil, send_to=evil), GuardSettings())
    text = Path(found.page).read_text(encoding="utf-8")
    assert evil not in text
    assert text.count("&lt;script&gt;alert(1)") == 4  # title twice, consent, whom to send to
    (config,) = (tmp_path / "mushra" / "configs").glob("*.yaml")
    assert "<script" not in yaml.safe_load(config.read_text())["pages"][0]["content"]


def test_loudspeakers_take_the_tone_of_opposite_phases_for_the_quietest():
    for quietest, opposite in draw_trials(20, np.random.default_rng(0)):
        assert quietest != opposite
        sound = headphone_sound(quietest, opposite).astype(np.float64)
        step = round(1.5 * RATE)
        parts = [sound[start : start + RATE] for start in range(0, 3 * step - RATE, step)]
        one_ear = [np.square(part[:, 0]).mean() for part in parts]
        in_the_air = [np.square(part.sum(axis=1)).mean() for part in parts]
        assert int(np.argmin(one_ear)) + 1 == quietest
        assert int(np.argmin(in_the_air)) + 1 == opposite
        assert one_ear[quietest - 1] / max(one_ear) == pytest.approx(10**-0.6, rel=0.01)
    answers = [quietest for quietest, _ in draw_trials(300, np.random.default_rng(1))]
    assert min(np.bincount(answers)[1:]) > 70


def test_a_key_that_is_none_is_named(tmp_path):
    from v2a_core.listening.key import read_key

    with pytest.raises(ConfigError, match="there is no such file"):
        read_key(str(tmp_path / "key.json"))
    for content, why in (("{", "JSON"), (json.dumps({"format": "v2a-listening-result"}), "format")):
        (tmp_path / "key.json").write_text(content)
        with pytest.raises(ConfigError, match=f"is no key of a listening test.*{why}"):
            read_key(str(tmp_path / "key.json"))
    systems = write_systems(tmp_path, ["one"], ("ours", "other"))
    make(tmp_path, systems)
    whole = json.loads((tmp_path / "page.key.json").read_text())
    whole["systems"] = ["ours"]
    (tmp_path / "page.key.json").write_text(json.dumps(whole))
    with pytest.raises(ConfigError, match=r"of no system \(\['other'\]\)"):
        read_key(str(tmp_path / "page.key.json"))
