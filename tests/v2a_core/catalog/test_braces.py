"""Brace patterns: what a shell makes of them, and what must not become of them."""

from __future__ import annotations

import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.catalog.expand import expand_braces


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("shard-{000..002}.tar", ["shard-000.tar", "shard-001.tar", "shard-002.tar"]),
        ("{08..10}", ["08", "09", "10"]),
        ("{2..-1}", ["2", "1", "0", "-1"]),
        ("{0..6..3}", ["0", "3", "6"]),
        ("{a,b}/{1..2}", ["a/1", "a/2", "b/1", "b/2"]),
        ("{train{1..2},test}.tar", ["train1.tar", "train2.tar", "test.tar"]),
        ("{x,}.mp4", ["x.mp4", ".mp4"]),
        # Names with braces that are none of a pattern.
        ("a {take 1}.mp4", ["a {take 1}.mp4"]),
        ("{}{{}}", ["{}{{}}"]),
        ("odd{name}{1..2}", ["odd{name}1", "odd{name}2"]),
        ("a{b/{1..2}.tar", ["a{b/1.tar", "a{b/2.tar"]),
        ("a}b/{1..2}.tar", ["a}b/1.tar", "a}b/2.tar"]),
        ("{{}", ["{{}"]),
        (r"back\{1,2}", ["back\\1", "back\\2"]),
        ("", [""]),
    ],
)
def test_expands_as_a_shell_does(pattern, names):
    assert list(expand_braces(pattern)) == names


@given(st.text("ab{},.1 2", max_size=12))
def test_a_shell_agrees(pattern):
    """Where it has an opinion: it takes `{1..2..}` and the like apart in its own way."""
    if ".." in pattern or any(lone in pattern for lone in ("{,}", "{}")) or pattern.count("{") != pattern.count("}"):
        list(expand_braces(pattern))
        return
    code = f"printf '%s\\n' {pattern.replace(' ', chr(92) + ' ')}"
    told = subprocess.run(["bash", "-fc", code], capture_output=True, text=True, check=True).stdout
    found = [name for name in expand_braces(pattern) if name]
    assert found == [name for name in told.split("\n") if name]


@pytest.mark.parametrize(
    "pattern",
    [
        "s-{0..999999999999}.tar",
        "{1000000000..0}",
        "{0..9999}{0..9999}",
        "{a{0..9999},b}/{0..999}",
        "{0,1}" * 64,
    ],
)
def test_more_than_a_million_names_are_refused_before_they_are_made(pattern):
    started = time.monotonic()
    with pytest.raises(ValueError, match="stands for more than 1,000,000 names"):
        next(expand_braces(pattern))
    assert time.monotonic() - started < 5


def test_a_million_names_and_deep_braces_are_no_trouble():
    assert sum(1 for _ in expand_braces("{1..1000000}")) == 1_000_000
    assert list(expand_braces("{" * 5000)) == ["{" * 5000]
    with pytest.raises(ValueError, match="more than 32 deep"):
        next(expand_braces("{" * 5000 + "}" * 5000))
    assert next(expand_braces("{" * 31 + "a,b" + "}" * 31))
