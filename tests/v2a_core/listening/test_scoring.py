"""What answers say: tables of known ratings, and files of every kind that people send back."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers_listening import answered, make, page_data, save, write_systems

from v2a_core.config import ConfigError
from v2a_core.listening.pairs import compare_pairs
from v2a_core.listening.scoring.config import ScoringSettings
from v2a_core.listening.scoring.measure import ratings_of
from v2a_core.listening.scoring.score import score_test, write_scored

LIKING = {"ours": 3.9, "other": 2.8, "third": 2.9}
QUICK = ScoringSettings(resamples=100)


@pytest.fixture(scope="module")
def trio(tmp_path_factory):
    root = tmp_path_factory.mktemp("scored")
    made = make(root, write_systems(root, [f"scene-{number}" for number in range(6)]), items=5, forms=6)
    return root, made.key, page_data(made.page)


def listeners(test, folder: Path, count: int, **more) -> list[dict]:
    _, key, data = test
    results = [answered(key, data, LIKING, number, name=f"listener {number}", **more) for number in range(count)]
    for number, result in enumerate(results):
        save(folder, number, result)
    return results


def score(test, *places: Path, **settings):
    return score_test(
        [str(place) for place in places], str(test[0] / "page.key.json"), QUICK.model_copy(update=settings)
    )


def test_ratings_come_to_the_systems_that_made_the_sounds(trio, tmp_path):
    _, key, _ = trio
    listeners(trio, tmp_path, 8, spread=0.0)
    scored = score(trio, tmp_path)
    assert len(scored.counted) == 8
    for found in scored.answered:
        assert [score.mean for score in found.opinions] == [4, 3, 3]
        assert [(pair.won, pair.tied, pair.lost) for pair in found.pairs] == [(40, 0, 0), (40, 0, 0), (0, 40, 0)]
        assert found.differences is not None
        assert found.differences.values_S[0] == 0
        assert (found.differences.values_S[1:] < -1).all()
    ratings = ratings_of([checked.session for checked in scored.counted], key, "fidelity")
    assert ratings.shape == (8, 5, 3)
    assert np.isfinite(ratings).all()


def test_what_is_written_is_whole(trio, tmp_path):
    listeners(trio, tmp_path / "results", 6)
    scored = score(trio, tmp_path / "results")
    text = write_scored(scored, str(tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "listening.json", "listening.md", "ratings.csv", "opinions.png", "figure-5.png",
    }  # fmt: skip
    assert text == (tmp_path / "out" / "listening.md").read_text()
    for heading in ("Mean opinion scores", "Just meaningful differences from ours", "Paired comparisons"):
        assert f"## {heading}" in text
    assert "6 of 6 listeners count; 5 items, 3 systems" in text
    content = json.loads((tmp_path / "out" / "listening.json").read_text())
    fidelity = content["questions"]["fidelity"]
    assert fidelity["opinions"]["ours"]["ratings"] == 30
    assert fidelity["jmd"]["ours"] == {"value": 0, "low": 0, "high": 0}
    assert sum(scale["value"] for scale in fidelity["scale"].values()) == pytest.approx(0, abs=1e-9)
    rows = list(csv.DictReader((tmp_path / "out" / "ratings.csv").open()))
    assert len(rows) == 6 * 6 * 3 * 2  # one item is repeated
    first = [
        int(row["rating"])
        for row in rows
        if row["system"] == "ours" and row["question"] == "fidelity" and row["repeat"] == "0"
    ]
    assert np.mean(first) == pytest.approx(fidelity["opinions"]["ours"]["mean"])


def test_listeners_who_fail_are_listed_with_why_and_do_not_count(trio, tmp_path):
    _, key, _ = trio
    good = listeners(trio, tmp_path, 4)

    def spoil(number: int, **changes) -> dict:
        return {**good[0], "session": f"bad-{number}", "listener": f"bad {number}", **changes}

    straight = [{**answer, "ratings": {"fidelity": 3, "relevance": 3}} for answer in good[0]["answers"]]
    unheard = [{**answer, "plays": 0} for answer in good[0]["answers"]]
    skipped = [{**answer, "played_s": 0.2} for answer in good[0]["answers"]]
    fickle = [
        {**answer, "ratings": {name: 6 - points if points != 3 else 1 for name, points in answer["ratings"].items()}}
        if answer["repeat"]
        else answer
        for answer in good[0]["answers"]
    ]
    bad = [
        (spoil(0, headphones=[answer % 3 + 1 for answer in key.headphones]), "0 of 6 headphone trials are right"),
        (spoil(1, headphones=[]), "0 of 6 headphone trials are right"),
        (spoil(2, device="loudspeakers"), "listened through loudspeakers"),
        (spoil(3, answers=good[0]["answers"][:9], complete=False), "rated 12 of 30"),
        (spoil(4, answers=straight), "gave every sound 3 for fidelity; gave every sound 3 for relevance"),
        (spoil(5, answers=unheard), "18 of 18 sounds were not heard to their end"),
        (spoil(6, answers=skipped), "18 of 18 sounds were not heard to their end"),
        (spoil(7, answers=fickle), "ratings of repeated items differ by"),
        (spoil(8, answers=[]), "rated 0 of 30"),
    ]
    for number, (result, _) in enumerate(bad):
        save(tmp_path, 100 + number, result)
    scored = score(trio, tmp_path)
    assert [checked.session.listener for checked in scored.counted] == [result["listener"] for result in good]
    told = {checked.session.listener: "; ".join(checked.reasons) for checked in scored.listeners if checked.reasons}
    assert len(told) == len(bad)
    for number, (_, reason) in enumerate(bad):
        assert reason in told[f"bad {number}"]
    text = write_scored(scored, str(tmp_path / "out"))
    assert "Listeners who fail a check (they do not count)" in text
    assert "- bad 2: listened through loudspeakers" in text
    assert len(score(trio, tmp_path, keep_failed=True).counted) == 13


def test_broken_odd_and_doubled_files_are_listed_and_never_fatal(trio, tmp_path):
    _, key, _ = trio
    good = listeners(trio, tmp_path, 3)
    shutil.copy(next(tmp_path.glob("*00.json")), tmp_path / "listening (1).json")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "mail.txt").write_text(
        "\ufeff" + json.dumps({**good[1], "session": "x", "listener": "by mail"})
    )
    (tmp_path / "half.json").write_text(json.dumps(good[2])[:-200])
    (tmp_path / "empty.json").write_bytes(b"")
    (tmp_path / "picture.json").write_bytes(bytes(range(256)))
    (tmp_path / "nested.json").write_text('{"a":' * 5000)
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "other.json").write_text(json.dumps({**good[0], "session": "y", "test": "tffff"}))
    (tmp_path / "type.json").write_text(json.dumps({**good[0], "session": "z", "form": "four"}))
    (tmp_path / "same person.json").write_text(json.dumps({**good[1], "session": "w", "listener": " Listener  1 "}))
    (tmp_path / "=HYPERLINK(1).json").write_text("{}")
    scored = score(trio, tmp_path)
    assert {checked.session.listener for checked in scored.counted} == {
        "listener 0",
        "listener 1",
        "listener 2",
        "by mail",
    }
    told = {Path(out.file).name: out.reason for out in scored.read.left_out}
    assert scored.read.files == 14
    doubled = next(path.name for path in tmp_path.glob("*00.json"))
    assert told.keys() == {
        "half.json", "empty.json", "picture.json", "nested.json", "list.json", "other.json", "type.json",
        "same person.json", "=HYPERLINK(1).json", doubled,
    }  # fmt: skip
    assert "the same session as in" in told[doubled]
    for name in ("half.json", "nested.json", "=HYPERLINK(1).json"):
        assert "it is broken" in told[name]
    for name in ("empty.json", "picture.json", "list.json"):
        assert "it is neither a result of the page (JSON) nor a table of webMUSHRA" in told[name]
    assert f"it is of another test, 'tffff', not of '{key.test}'" in told["other.json"]
    assert "form" in told["type.json"]
    assert "the same listener as in" in told["same person.json"]
    text = write_scored(scored, str(tmp_path / "out"))
    assert "Files and listeners left out, of 14 files" in text


def test_of_doubled_sessions_the_fuller_one_counts(trio, tmp_path):
    (result,) = listeners(trio, tmp_path / "a", 1)
    (tmp_path / "a" / "0-early.json").write_text(json.dumps({**result, "answers": result["answers"][:9]}))
    scored = score(trio, tmp_path / "a")
    (counted,) = scored.counted
    assert counted.session.rated == 36
    (out,) = scored.read.left_out
    assert out.file.endswith("0-early.json")


def test_ratings_that_cannot_be_are_left_out_one_by_one(trio, tmp_path):
    (result,) = listeners(trio, tmp_path / "whole", 1)
    answers = [dict(answer) for answer in result["answers"]]
    counted = [place for place, answer in enumerate(answers) if not answer["practice"] and not answer["repeat"]]
    answers[counted[0]]["ratings"] = {"fidelity": 9, "relevance": 4}
    answers[counted[1]]["ratings"] = {"fidelity": 2, "beauty": 4}
    answers.append({**answers[counted[2]], "stimulus": "s-unknown"})
    answers.append({**answers[counted[2]], "ratings": {"fidelity": 1, "relevance": 1}})
    save(tmp_path / "odd", 0, {**result, "answers": answers})
    (checked,) = score(trio, tmp_path / "odd").listeners
    assert checked.session.problems == (
        "answers about no sound of this test: 1",
        "ratings that are not on 1 to 5, or answer what was not asked: 2",
        "answers about a sound that was rated before: 1",
    )
    assert checked.session.rated == 36 - 2


def mushra_rows(test, results: list[dict], listener: str = "listener") -> str:
    """The table that webMUSHRA's service appends to: a row a sound and page, ratings between blanks."""
    _, key, _ = test
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["session_test_id", listener, "trial_id", "stimuli_rating", "stimuli", "rating_time"])
    for result in results:
        for question in key.questions:
            for answer in result["answers"]:
                if not answer["repeat"]:
                    trial = f"{answer['item']}.{question}"
                    rating = f" {answer['ratings'][question]} "
                    writer.writerow([key.test, result["listener"], trial, rating, answer["stimulus"], 8123])
    return file.getvalue()


def test_a_table_of_webmushra_says_the_same_as_files_of_the_page(trio, tmp_path):
    results = listeners(trio, tmp_path / "page", 5)
    (tmp_path / "lms.csv").write_text(mushra_rows(trio, results))
    ours, theirs = score(trio, tmp_path / "page"), score(trio, tmp_path / "lms.csv")
    assert [checked.session.listener for checked in theirs.counted] == [f"listener {number}" for number in range(5)]
    for one, other in zip(ours.answered, theirs.answered, strict=True):
        assert one.opinions == other.opinions
        assert one.pairs == other.pairs
    assert theirs.listeners[0].headphones is None  # nobody asked there


def test_listeners_without_a_name_are_told_apart_and_odd_rows_told(trio, tmp_path):
    results = listeners(trio, tmp_path / "page", 3)
    text = mushra_rows(trio, [{**result, "listener": ""} for result in results])
    lines = text.splitlines()
    lines[5] = lines[5].replace(lines[5].split(",")[3], " NA ")
    lines[6] = lines[6].replace(lines[6].split(",")[3], " much ")
    lines.insert(4, "another-test,,x.fidelity, 3 ,s1,5")
    (tmp_path / "lms.csv").write_text("\n".join(lines) + "\n")
    shutil.copy(tmp_path / "lms.csv", tmp_path / "lms-copy.csv")
    scored = score(trio, tmp_path / "lms.csv", tmp_path / "lms-copy.csv")
    assert [checked.session.rated for checked in scored.listeners] == [28, 30, 30]
    assert scored.listeners[0].session.problems == (
        "rows of another test, or broken: 1",
        "ratings that are no numbers: 1",
    )
    assert sum("the same session as in" in out.reason for out in scored.read.left_out) == 3
    (tmp_path / "foreign.csv").write_text(text.replace(trio[1].test, "t0"))
    (tmp_path / "latin.csv").write_bytes(text.encode().replace(b"8123", b"\xff"))
    told = score(trio, tmp_path / "lms.csv", tmp_path / "foreign.csv", tmp_path / "latin.csv").read.left_out
    assert any("none of its 108 rows is of the test" in out.reason for out in told)
    assert any("it is broken" in out.reason for out in told)


def test_a_test_that_nobody_finished_says_so(trio, tmp_path):
    with pytest.raises(ConfigError, match="there is no such file or folder"):
        score(trio, tmp_path / "nothing")
    (tmp_path / "results").mkdir()
    with pytest.raises(ConfigError, match="nobody has answered yet"):
        score(trio, tmp_path / "results")
    (tmp_path / "results" / "broken.json").write_text("{")
    scored = score(trio, tmp_path / "results")
    assert scored.answered[0].reason == "some system was not rated at all"
    text = write_scored(scored, str(tmp_path / "out"))
    assert "0 of 0 listeners count" in text
    assert "**fidelity: some system was not rated at all.**" in text
    assert not (tmp_path / "out" / "figure-5.png").exists()


def test_another_system_can_be_ours_and_one_alone_is_scored(trio, tmp_path):
    listeners(trio, tmp_path / "three", 4)
    scored = score(trio, tmp_path / "three", ours="third")
    assert scored.answered[0].differences is not None
    assert scored.answered[0].differences.values_S[2] == 0
    with pytest.raises(ConfigError, match=r"scoring\.ours = 'nobody': the test has the systems ours, other, third"):
        score(trio, tmp_path / "three", ours="nobody")
    root = tmp_path / "alone"
    made = make(root, write_systems(root, ["one", "two"], ("ours",)), questions="relevance")
    for number in range(3):
        save(root / "results", number, answered(made.key, page_data(made.page), {"ours": 4.0}, number))
    alone = score_test([str(root / "results")], str(root / "page.key.json"), QUICK)
    (found,) = alone.answered
    assert found.opinions[0].mean > 3
    assert found.reason == "there is one system, so that nothing can be compared"
    assert "Paired comparisons" not in write_scored(alone, str(root / "out"))


def test_names_of_strangers_end_no_cell_and_are_no_formula(trio, tmp_path):
    _, key, data = trio
    name = "=1+1|<img src=x>`"
    save(tmp_path / "results", 0, {**answered(key, data, LIKING, 0, name=name), "device": "loudspeakers"})
    text = write_scored(score(trio, tmp_path / "results"), str(tmp_path / "out"))
    assert "=1+1\\|&lt;img src=x>'" in text
    assert "\n'=1+1|" in (tmp_path / "out" / "ratings.csv").read_text()


def test_pairs_count_within_listener_and_item():
    ratings = np.array([[[5, 3, 3], [1, 2, np.nan]], [[4, 4, 2], [2, 1, 5]]], float)
    first, second, third = compare_pairs(ratings, resamples=50)
    assert (first.won, first.tied, first.lost) == (2, 1, 1)
    assert first.difference == pytest.approx(np.mean([2, -1, 0, 1]))
    assert first.low <= first.difference <= first.high
    assert (second.won, second.tied, second.lost) == (2, 0, 1)
    assert third.preference == pytest.approx((1 + 0.5) / 3)
    (never,) = compare_pairs(np.array([[[1.0, np.nan]], [[np.nan, 2.0]]]), resamples=50)
    assert np.isnan(never.difference)
    assert np.isnan(never.preference)
