"""`v2a reproduce` in small: rows and figures from nothing to a page, once; and what is refused at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from helpers_verify import check

from v2a_core.config import CONFIG_ROOT
from v2a_core.outputs.ledger import part_files
from workflows.cli.main import main

SMALL = (
    "world.train=24", "world.validation=12", "world.test=4", "world.pictures=2", "listen_to=2", "interpolated=2",
)  # fmt: skip
ROWS = ("regression-mlp", "ours")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> list[str]:
    """Settings of the smallest reproduction: the shipped ones with tiny mappers, few steps."""
    folder = tmp_path_factory.mktemp("configs")
    sweep = yaml.safe_load((CONFIG_ROOT / "sweep" / "miniature-ablations.yaml").read_text())
    sweep["base"]["training"] |= {"max_steps": 4, "global_batch": 12}
    for run in sweep["runs"].values():
        run["mapper"]["network"] |= {"depth": 1, "width": 32}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    made = yaml.safe_load((CONFIG_ROOT / "generate" / "miniature.yaml").read_text())
    made["sampling"]["steps"] = made["generator"]["num_inference_steps"] = 2
    (folder / "generate.yaml").write_text(yaml.safe_dump(made))
    steps = [f"steps.sweep={folder / 'sweep.yaml'}", f"steps.generate={folder / 'generate.yaml'}"]
    return [f"--set={item}" for item in (*SMALL, *steps)]


def parts(output: Path) -> dict[str, int]:
    """Every part of every output, and every sound, with when it was written."""
    files = [*output.glob("*/*/rows/*.parquet"), *output.glob("*/*/*/*/rows/*.parquet")]
    files += [*output.glob("soundtracks/*/[!.]*/*"), *output.glob("mappers/*/*/mapper.safetensors")]
    files += [*output.glob("scores/*/metrics.json"), *output.glob("scores/*/index.html"), *output.glob("figures/*")]
    return {str(file): file.stat().st_mtime_ns for file in files if "figure-3" not in file.name}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_rows_of_a_table_and_the_same_again(ray_session, tmp_path, small, capsys):
    output = tmp_path / "reproduction"
    only = [f"--only={row}" for row in ROWS]
    command = ["reproduce", "--output", str(output), "--tables", "1,4", "--figures", "3,7", *only, *small]
    assert main(command) == 0
    content = json.loads((output / "tables.json").read_text())
    first, table = content["tables"]
    (ours,) = [row["columns"] for row in first["rows"] if row["name"] == "ours"]
    assert 0 < ours["seconds"]["ours"]["value"] < 60
    assert 0 < ours["parameters"]["ours"]["value"] < ours["parameters"]["paper"] == 48.83
    (theirs,) = [row["columns"] for row in first["rows"] if row["name"] == "im2wav"]
    assert theirs["fd"]["reason"] == "left out (--only)"
    rows = {row["name"]: row["columns"] for row in table["rows"]}
    assert [name for name, columns in rows.items() if columns["fd"]["ours"]] == list(ROWS)
    assert rows["ours"]["fd"]["paper"] == 24.168
    assert rows["ours"]["fd"]["ours"]["count"] == 4
    assert rows["ours"]["pictures_cs"]["ours"]["count"] == 2
    assert rows["diffusion-mlp"]["fd"]["reason"] == "left out (--only)"
    ordered = {item["column"]: item for item in table["orderings"]}
    assert ordered["fd"]["rows"] == ["ours", "regression-mlp"]
    assert ordered["cs"]["rows"] == ["regression-mlp", "ours"]
    assert sum(content["verdicts"].values()) == len(ordered) == 3
    text = (output / "tables.md").read_text()
    assert text in capsys.readouterr().out
    assert r"\end{table}" in (output / "tables.tex").read_text()
    page = (output / "index.html").read_text()
    for link in ("scores/videos/index.html", "figures/figure-3.png", "figures/figure-7.png"):
        assert link in page
        assert (output / link).is_file()
    assert len(part_files(str(output / "embeddings" / "main-train" / "rows"))) >= 1

    before = parts(output)
    assert main(command) == 0
    assert parts(output) == before
    assert capsys.readouterr().out.count("nothing to do") == 2 + 2 + 2 + 2  # embed, train, generate, compare
    report = check(output)
    assert (report.job, report.problems) == ("reproduce", [])
    assert len(report.inside) == 2 + 2 + 2 + 2 + 1
    (output / "tables.tex").write_text("other numbers")
    (problem,) = check(output).problems
    assert problem.startswith("tables.tex: ")
    assert main(["reproduce", "--output", str(output), *small, "--set=world.test=5", "--tables=4"]) == 2
    assert "world.test: the output has 4, this run 5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tables=9"], "--tables '9'"),
        (["--only=nobody"], "--only nobody: the rows of these tables are reference, im2wav"),
        (["--output=s3://bucket/x"], "give a local folder"),
        (["--catalog=nowhere.csv"], "--catalog needs --test"),
        (["--test=nowhere.csv"], "--test needs --catalog"),
        (["--catalog=nowhere.csv", "--test=nowhere.csv"], "'nowhere.csv' does not exist"),
        (["--pictures=nowhere.csv"], "--pictures go with --catalog and --test"),
        (["--models=paper"], "--models paper needs --catalog and --test"),
        (["--answers=there", "--figures=3"], "they go with --figures 5"),
        (["--system=mmaudio=there"], "--system mmaudio: the systems of others in the paper"),
        (["--system=im2wav=nowhere"], "--system im2wav=nowhere: there is no such file or folder"),
        (["--set=steps.generate=nowhere"], "no configuration 'nowhere'"),
        (["--set=world.tests=4"], "did you mean 'world.test'?"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_dry_run_names_the_steps_and_does_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "--dry-run", "--tables=6,7", "--figures=none"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["bundles"]["main"] == "miniature"
    assert plan["bundles"]["large"] == plan["bundles"]["blip"] == "a stand-in of the real class, untrained"
    steps = [(step["step"], step["output"].removeprefix(f"{plan['output']}/")) for step in plan["steps"]]
    assert steps[:2] == [("world", "world"), ("embed", "embeddings/main-train")]
    # One mapper of what CLIP sees serves three generators; BLIP needs its own.
    assert [place for step, place in steps if step == "train"] == [
        "mappers/main/diffusion-transformer",
        "mappers/blip/diffusion-transformer",
    ]
    assert len([step for step, _ in steps if step == "generate"]) == 6
    assert not any(step["done"] for step in plan["steps"])
    assert not any(tmp_path.iterdir())
