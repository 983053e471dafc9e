"""The rooms and the arrows between them, drawn from the code: no circle, none upward; every room says what it is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from helpers_scripts import load_script

ROOT = Path(__file__).parents[1]


figures = load_script("figures")


@pytest.fixture(scope="module")
def house():
    return figures.House(ROOT)


@pytest.fixture
def copied(tmp_path):
    """The tree in a folder where it may be spoilt."""
    for package in figures.PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    return tmp_path


def append(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{line}\n", encoding="utf-8")


def test_every_room_has_its_line(house) -> None:
    assert house.unknown_rooms() == []


def test_the_house_is_described_as_it_is() -> None:
    page = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\d+\. (.+)$", page.split("## Arrows")[1], re.MULTILINE)
    told = [set(re.findall(r"`(\w+)`", line)) for line in reversed(lines)]
    rooms = [{room.split(".")[1] for room in layer if "." in room} for layer in figures.LAYERS]
    assert told == rooms


def test_no_arrow_points_upward(house) -> None:
    assert [str(arrow) for arrow in house.upward()] == []


def test_rooms_form_no_circle(house) -> None:
    assert house.circles_of_rooms() == []


def test_modules_form_no_circle(house) -> None:
    assert house.circles_of_modules() == []


def test_the_root_of_the_library_holds_what_belongs_there(house) -> None:
    assert house.misplaced() == []


def test_every_package_says_what_belongs_there(house) -> None:
    assert house.silent_packages() == []


def test_arrows_are_drawn(house) -> None:
    drawn = {(arrow.importer, arrow.imported) for arrow in house.arrows}
    assert ("v2a_core.outputs.manifest", "v2a_core.storage") in drawn  # from v2a_core import storage
    assert ("v2a_core.outputs.manifest", "v2a_core.tables.schema") in drawn  # from a.b import name
    assert ("v2a_core", "v2a_core.single_video") in drawn  # inside of a function
    assert ("workflows.embed.__main__", "workflows.cli.main") in drawn


def test_an_arrow_upward_is_found_inside_of_a_function_too(copied) -> None:
    append(copied / "v2a_core" / "storage" / "files.py", "def late():\n    from v2a_core import stages")
    (arrow,) = figures.House(copied).upward()
    assert str(arrow).endswith("-> v2a_core.stages")
    assert str(arrow).startswith("v2a_core.storage.files:")


def test_an_arrow_between_kinds_of_components_is_found(copied) -> None:
    append(copied / "v2a_core" / "mappers" / "mlp.py", "from ..encoders import clip")
    (arrow,) = figures.House(copied).upward()
    assert (arrow.importer, arrow.imported) == ("v2a_core.mappers.mlp", "v2a_core.encoders.clip")


def test_an_arrow_for_the_type_checker_alone_is_none(copied) -> None:
    line = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from v2a_core import stages"
    append(copied / "v2a_core" / "storage" / "files.py", line)
    assert figures.House(copied).upward() == []


def test_a_circle_is_found(copied, house) -> None:
    append(copied / "v2a_core" / "catalog" / "source.py", "import v2a_core.models.errors")
    append(copied / "v2a_core" / "models" / "errors.py", "import v2a_core.catalog.source")
    spoilt = figures.House(copied)
    assert spoilt.upward() == []
    assert ["v2a_core.catalog", "v2a_core.models"] in spoilt.circles_of_rooms()
    new = [circle for circle in spoilt.circles_of_modules() if circle not in house.circles_of_modules()]
    assert any({"v2a_core.catalog.source", "v2a_core.models.errors"} <= set(circle) for circle in new)


def test_modules_and_rooms_out_of_place_are_found(copied) -> None:
    (copied / "v2a_core" / "helpers.py").write_text('"""A bit of everything."""\n', encoding="utf-8")
    (copied / "v2a_core" / "tables" / "__init__.py").write_text("", encoding="utf-8")
    spoilt = figures.House(copied)
    assert spoilt.misplaced() == ["helpers"]
    assert spoilt.unknown_rooms() == ["v2a_core.helpers"]
    assert spoilt.silent_packages() == ["v2a_core.tables"]


def test_long_functions_and_untyped_places_are_counted(tmp_path) -> None:
    (tmp_path / "v2a_core").mkdir()
    path = tmp_path / "v2a_core" / "config.py"
    path.write_text("from typing import Any\n\nNAMES: list[str] = []  # in order\n")
    house = figures.House(tmp_path)
    found = (house.count_any(), house.count_any_dictionaries(), house.count_comments("type: *ignore"))
    assert (house.functions(figures.TOO_LONG), found) == ([], (0, 0, 0))
    body = "\n".join(f"    x = {number}" for number in range(60))
    append(path, f"def endless(x: Any) -> dict[str, Any]:  # type: ignore\n{body}")
    house = figures.House(tmp_path)
    assert [(one.place.split()[1], one.lines) for one in house.functions(figures.TOO_LONG)] == [("endless", 61)]
    assert (house.count_any(), house.count_any_dictionaries(), house.count_comments("type: *ignore")) == (2, 1, 1)
