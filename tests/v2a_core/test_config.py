from __future__ import annotations

from typing import Literal

import pytest

from v2a_core.config import ConfigError, Settings, load, options, setting


class Inner(Settings):
    count: int = setting(3, "how many", unit="frames", ge=1)
    rate: float = setting(1e-4, "how fast", gt=0)


class Outer(Settings):
    inner: Inner = setting(Inner, "a group")
    name: str | None = setting(None, "a name")
    mode: Literal["left", "right"] = setting("left", "a choice", flag="--mode")


def test_defaults_files_and_overrides_apply_in_this_order(tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("inner: {count: 5, rate: 2e-3}\nname: from file\n")
    job = load(Outer, job="embed", source=str(file), overrides=["inner.count=7"])
    assert (job.inner.count, job.inner.rate, job.name, job.mode) == (7, 2e-3, "from file", "left")


def test_scientific_notation_without_a_dot_is_a_number():
    assert load(Outer, job="embed", overrides=["inner.rate=1e-3"]).inner.rate == 1e-3


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("inner.cuont=1", ["'inner.cuont'", "did you mean 'inner.count'"]),
        ("inner.count=0", ["inner.count = 0", "greater than or equal to 1", "frames"]),
        ("inner.rate=fast", ["inner.rate = 'fast'", "number"]),
        ("inner.count=1.5", ["inner.count = 1.5"]),
        ("mode=up", ["mode = 'up'", "'left' or 'right'"]),
        ("count=4", ["'count'", "did you mean"]),
        ("no-equals", ["key=value"]),
        ("mode.deeper=1", ["mode"]),
    ],
)
def test_a_mistake_is_answered_with_key_value_and_what_is_allowed(override, said):
    with pytest.raises(ConfigError) as caught:
        load(Outer, job="embed", overrides=[override])
    for part in said:
        assert part in str(caught.value)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        load(Outer, job="embed", overrides=["inner.count=0", "mode=up"])
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("content", ["- a list", "just text", "a: [1", "\xff"])
def test_a_broken_file_is_named(tmp_path, content):
    file = tmp_path / "broken.yaml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        load(Outer, job="embed", source=str(file))


def test_aliases_that_grow_without_end_are_refused(tmp_path):
    file = tmp_path / "laughs.yaml"
    lines = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    file.write_text("\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x]", *lines]))
    with pytest.raises(ConfigError, match=r"laughs\.yaml holds more than 100,000 values"):
        load(Outer, job="embed", source=str(file))


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(ConfigError, match=r"no configuration 'nothing'.*paper"):
        load(Outer, job="generate", source="nothing")


def test_options_that_are_its_own_come_before_those_that_it_shares():
    class Special(Outer):
        own: bool = setting(True, "its own")
        empty: str = setting("", "nothing")

    listed = list(options(Special))
    assert [option.key for option in listed] == ["own", "empty", "inner.count", "inner.rate", "name", "mode"]
    assert [option.default_text for option in listed[:4]] == ["true", '""', "3 frames", "0.0001"]


def test_options_name_every_leaf_with_unit_default_and_flag():
    listed = {option.key: option for option in options(Outer)}
    assert list(listed) == ["inner.count", "inner.rate", "name", "mode"]
    assert (listed["inner.count"].unit, listed["inner.count"].default) == ("frames", 3)
    assert (listed["mode"].flag, listed["mode"].type) == ("--mode", "left | right")
