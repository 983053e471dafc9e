"""Odd media in one catalog: each file costs, at most, itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import helpers_attacks
import helpers_catalog
import pytest
from helpers_odd_catalog import FILES


@pytest.fixture(scope="module")
def outcome(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit code and the rows of one run over all of them."""
    catalog = tmp_path_factory.mktemp("odd") / "catalog"
    helpers_catalog.video(catalog / "good.mp4", 2.0)
    for name, (make, _) in FILES.items():
        make(catalog / name)
    output = catalog.parent / "output"
    code = helpers_attacks.embed([catalog], output, "decoder.time_limit_s=60")
    return code, helpers_attacks.by_name(helpers_attacks.rows(output))


def test_the_run(outcome: tuple[int, dict[str, list[dict[str, Any]]]]) -> None:
    """A hundred odd files in one catalog: the run ends with 0, a row or more for each, the good neighbour whole"""
    code, rows = outcome
    assert code == 0
    assert rows.keys() == {*FILES, "good.mp4"}
    assert [row["status"] for row in rows["good.mp4"]] == ["ok", "ok"]


@pytest.mark.parametrize("name", FILES)
def test_file(outcome: tuple[int, dict[str, list[dict[str, Any]]]], name: str) -> None:
    """a file of its own kind"""
    rows = outcome[1][name]
    for row in rows:
        helpers_attacks.assert_sound_row(row)
    assert {row["status"] for row in rows} <= FILES[name][1], [row["reject_message"] for row in rows]


def test_names_of_nothing(tmp_path: Path) -> None:
    """A folder of files of no known kind is refused before anything starts, saying what was looked at"""
    (tmp_path / "catalog").mkdir()
    for name in ("a.exe", "b", "c.mp4.part", "d.txt"):
        (tmp_path / "catalog" / name).write_bytes(bytes(99))
    assert helpers_attacks.embed([tmp_path / "catalog"], tmp_path / "output") == 2
    assert not (tmp_path / "output").exists()
