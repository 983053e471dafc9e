"""Every example runs as its README says, in this order, on the miniature world."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from workflows.cli.main import main

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def lines() -> list[list[str]]:
    """The words of each line of the README's block."""
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    return [shlex.split(line) for line in re.findall(r"^    (.+)$", text, re.MULTILINE)]


def test_the_readme_runs_every_example() -> None:
    told = {words[1] for words in lines() if words[0] == "python"}
    assert told == {f"examples/{path.name}" for path in EXAMPLES.glob("*.py")}
    table = re.findall(r"^\| `(\w+\.py)` \|", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(table) == {path.name for path in EXAMPLES.glob("*.py")}


@pytest.mark.slow
@pytest.mark.timeout(580)
def test_every_example_runs_as_it_stands(ray_session, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    said: dict[str, str] = {}
    for program, *words in lines():
        if program == "v2a":
            assert main(words) == 0
            spoil(tmp_path / "world")
            continue
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", words)
        runpy.run_path(str(ROOT / words[0]), run_name="__main__")
        said[Path(words[0]).stem] = capsys.readouterr().out
    assert "segments of 7 sources" in said["embed"]
    assert re.search(r"^videos/.*: cosine -?[\d.]+ to its own sound$", said["train"], re.MULTILINE)
    assert (
        len(re.findall(r"^videos/.*: soundtracks/audio/.*\.flac, -[\d.]+ LUFS$", said["generate"], re.MULTILINE)) == 6
    )
    assert "6 segments" in said["evaluate"]
    assert "clap_similarity_condition: " in said["evaluate"]
    assert (tmp_path / "soundtracks" / "index.html").is_file()
    assert len(list((tmp_path / "between").glob("step-*.wav"))) == 3
    assert "at 16000 Hz -> rain.wav" in said["one_video"]
    assert "NotFound: 1 rejected, such as videos/gone.mp4" in said["read_with_pandas"]
    assert "6 segments seen, vectors of 512 numbers" in said["read_with_pandas"]
    assert "NotFound: 1 rejected" in said["read_with_duckdb"]
    readers = ("read_with_pandas", "read_with_duckdb")
    of_pandas, of_duckdb = (re.findall(r"^highest peak: (.+)$", said[name], re.MULTILINE) for name in readers)
    assert len(of_pandas) == 1
    assert of_pandas == of_duckdb


def spoil(world: Path) -> None:
    """A row of the catalog names a file that is not there, as rows of real ones do."""
    with (world / "catalog.csv").open("a", encoding="utf-8") as table:
        table.write("videos/gone.mp4,rain,train,gone\n")
