"""Registries: names, settings and classes together, from this package and from others."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pytest

from v2a_core import config, registry
from v2a_core.config import ConfigError, Settings, setting
from v2a_core.registry import EachOf, Groups, NameOf, OneOf, Registry


class Round(Settings):
    kind: Literal["round"] = setting("round", "the shape")
    radius: float = setting(1.0, "how large", unit="m", gt=0)


class Square(Settings):
    kind: Literal["square"] = setting("square", "the shape")
    side: float = setting(2.0, "how large", unit="m", gt=0)


SHAPES: Registry[type] = Registry("shape", "v2a.test_shapes", {})
SHAPES.add("round", int, Round)
SHAPES.add("square", str, Square)
SHAPE = OneOf(SHAPES, "round")


class Job(Settings):
    shape: Annotated[Settings, SHAPE] = setting(SHAPE, "what it is")
    name: Annotated[str, NameOf(SHAPES, "round")] = setting(NameOf(SHAPES, "round"), "only the name")


def test_a_setting_alone_belongs_to_the_default():
    assert config.build(Job, {}).shape == Round()
    assert config.build(Job, {}, ["shape.radius=3.0"]).shape == Round(radius=3.0)
    assert config.build(Job, {}, ["shape.kind=square", "shape.side=3.0"]).shape == Square(side=3.0)
    assert config.build(Job, {}, ["shape=square"]).shape == Square()


def test_what_is_written_is_read_again():
    job = config.build(Job, {"shape": {"kind": "square", "side": 4.0}, "name": "square"})
    assert job.model_dump() == {"shape": {"kind": "square", "side": 4.0}, "name": "square"}
    assert Job.model_validate_json(job.model_dump_json()) == job


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("shape.kind=oval", "shape.kind = 'oval': no such shape; allowed: round | square"),
        ("shape.radius=-1.0", "shape.radius = -1.0: should be greater than 0; allowed: float m"),
        ("shape.side=1.0", "unknown key 'shape.side' (value 1.0); it is a setting of shape.kind = square"),
        ("shape=3", "shape = 3: must be a group of settings"),
        ("name=oval", "name = 'oval': no such shape; allowed: round | square"),
    ],
)
def test_a_mistake_is_told_with_what_is_allowed(override, told):
    with pytest.raises(ConfigError) as error:
        config.build(Job, {}, [override])
    assert told in str(error.value)


def test_help_lists_the_settings_of_all():
    listed = {option.key: option for option in config.options(Job)}
    assert listed["shape.radius"].meaning == "round: how large"
    assert listed["shape.side"].meaning == "square: how large"
    assert listed["name"].type == "round | square"
    assert [option.key for option in config.options(Job)].count("shape.kind") == 1
    assert (listed["shape.kind"].type, listed["shape.kind"].default) == ("round | square", "round")


def test_a_package_adds_a_component_by_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "oval_shape.py").write_text(
        "from v2a_core.config import Settings, setting\n"
        "import test_registry_shapes\n"
        "class Oval(Settings):\n"
        "    kind: str = setting('oval', 'the shape')\n"
        "test_registry_shapes.OTHERS.add('oval', float, Oval)\n"
    )
    (tmp_path / "test_registry_shapes.py").write_text(
        "from v2a_core.registry import Registry\nOTHERS = Registry('shape', 'v2a.test_others', {})\n"
    )
    entries = tmp_path / "oval-1.0.dist-info"
    entries.mkdir()
    (entries / "METADATA").write_text("Metadata-Version: 2.1\nName: oval\nVersion: 1.0\n")
    (entries / "entry_points.txt").write_text("[v2a.test_others]\noval = oval_shape\nbroken = no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entry_points.cache_clear()
    importlib.invalidate_caches()
    others = importlib.import_module("test_registry_shapes").OTHERS
    assert others.names() == ("oval", "broken")
    assert "oval_shape" not in sys.modules
    assert others["oval"].component is float
    with pytest.raises(ConfigError, match=r"broken.*no_such_module.*cannot be imported"):
        others["broken"]


@pytest.fixture
def broken_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package whose module fails in a way of its own adds a shape."""
    (tmp_path / "broken_shape.py").write_text("raise ZeroDivisionError('no such corner')\n")
    entries = tmp_path / "broken_shape-1.0.dist-info"
    entries.mkdir()
    (entries / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-shape\nVersion: 1.0\n")
    (entries / "entry_points.txt").write_text("[v2a.test_shapes]\nstar = broken_shape\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entry_points.cache_clear()
    importlib.invalidate_caches()
    yield
    registry._entry_points.cache_clear()


BROKEN_SHAPE = "the shape 'star' (broken_shape) cannot be imported: ZeroDivisionError: no such corner"


@pytest.mark.usefixtures("broken_package")
def test_a_package_that_cannot_be_imported_is_named_beside_what_was_wrong():
    assert config.build(Job, {}).shape == Round()  # who does not ask for it is not troubled
    with pytest.raises(ConfigError) as error:
        config.build(Job, {}, ["shape.raduis=3.0"])
    mistake = "unknown key 'shape.raduis' (value 3.0); did you mean 'shape.radius'?"
    assert str(error.value).splitlines() == [mistake, BROKEN_SHAPE]
    assert "shape.side" in {option.key for option in config.options(Job)}
    with pytest.raises(ConfigError) as error:
        config.build(Job, {}, ["shape.kind=star"])
    assert BROKEN_SHAPE in str(error.value)


@pytest.mark.usefixtures("broken_package")
def test_where_all_components_are_used_a_broken_one_is_refused_by_name():
    each = EachOf(SHAPES, Groups)

    class All(Settings):
        shapes: Annotated[Groups, each] = setting(each, "all of them")
        name: str = setting("x", "a name")

    for values in ({}, {"shapes": {"round": {"radius": 2.0}}}):
        with pytest.raises(ConfigError) as error:
            config.build(All, values)
        assert str(error.value) == BROKEN_SHAPE
    with pytest.raises(ConfigError) as error:
        config.build(All, {"shapes": {"round": {"radius": -2.0}}})
    mistake = "shapes.round.radius = -2.0: should be greater than 0; allowed: float m"
    assert str(error.value).splitlines() == [mistake, BROKEN_SHAPE]


def test_a_name_is_taken_once():
    SHAPES.add("round", int, Round)
    with pytest.raises(ValueError, match="'round' is there already"):
        SHAPES.add("round", float, Round)
