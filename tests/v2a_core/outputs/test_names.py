from __future__ import annotations

import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.catalog.files import safe_name
from v2a_core.outputs.names import output_stem

ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("rain/a.mp4", "rain/a-0123456789abcdef"),
        ("a b%20[x].mp4", "a_b_20_x-0123456789abcdef"),
        ("../../etc/passwd.mp4", "etc/passwd-0123456789abcdef"),
        ("/abs/x.mp4", "abs/x-0123456789abcdef"),
        ("..\\..\\x.mp4", "x-0123456789abcdef"),
        ("über/näh.mp4", "über/näh-0123456789abcdef"),
        ("...", "source-0123456789abcdef"),
    ],
)
def test_names_mirror_the_catalog(name, stem):
    assert output_stem(name, ID) == stem


@given(st.text(max_size=5000))
def test_no_name_escapes_or_breaks_a_file_system(name):
    stem = output_stem(name, ID)
    parts = stem.split("/")
    assert len(parts) <= 9
    for part in parts:
        assert re.fullmatch(r"[\w.-]+", part)
        assert part not in {".", ".."}
        assert len(f"{part}.flac".encode()) <= 255


@pytest.mark.parametrize("letter", ["n", "ü", "語", "𠀀"])
def test_a_long_name_of_any_script_fits_a_file_system(tmp_path, letter):
    stem = output_stem(f"{letter * 200}/{letter * 200}.mp4", ID)
    (tmp_path / stem).parent.mkdir()
    (tmp_path / f"{stem}-0.flac").touch()


@given(
    st.lists(
        st.one_of(st.text(max_size=30), st.sampled_from(["..", ".", "", "~", "/etc", "C:", "\x00", "a" * 300, "-rf"])),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["/", "\\", "//"]),
    st.sampled_from(["", "/", "../", "s3://other/", "file:///"]),
)
def test_no_catalog_writes_outside_its_output(parts, separator, prefix):
    """As `finishing` joins them: whatever a catalog calls its sources, the file lies below the output's folder."""
    name = prefix + separator.join(parts)
    for made in (output_stem(name, ID), output_stem(safe_name(name), ID)):
        for folder in ("audio", "video"):
            path = posixpath.normpath(posixpath.join("/out", folder, f"{made}.wav"))
            assert path.startswith(f"/out/{folder}/")
            assert path == f"/out/{folder}/{made}.wav"  # nothing in it that a file system would resolve
            assert "\x00" not in path


@given(st.text(max_size=50), st.integers(0, 2**64), st.integers(0, 2**64))
def test_different_sources_never_share_a_file(name, one, two):
    if one != two:
        ids = [f"{value:024x}"[::-1] + ID for value in (one, two)]
        assert output_stem(name, ids[0]) != output_stem(name, ids[1]) or ids[0][:16] == ids[1][:16]
