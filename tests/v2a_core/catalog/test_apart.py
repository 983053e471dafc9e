"""An output inside its input, or the other way round."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2a_core.catalog.apart import check_apart
from v2a_core.config import ConfigError


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("videos/deep", "work/clips", "work/video", "[odd]"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "videos" / "a.mp4").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "videos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("videos", "videos"),
        ("videos/", "./videos"),
        ("videos", "videos/embeddings"),
        ("videos", "videos/new/deeper"),
        ("linked", "videos/out"),
        ("videos", "linked/out"),
        (".", "out"),
        ("videos/*", "videos/out"),
        ("*/*/*.mp4", "videos/out"),
        ("**/*.mp4", "out"),
        ("{videos,other}/*", "videos/out"),
        ("[odd]", "[odd]/out"),
        ("work/video", "work"),
        ("work/video/*.mp4", "work"),
        ("work/video/a.mp4", "work"),
        ("s3://b/videos", "s3://b/videos/out"),
        ("s3a://b/videos/", "s3://b/videos"),
        ("s3://b/**/*.mp4", "s3://b/out"),
        ("s3://b/out/video/", "s3://b/out"),
        ("s3://b", "s3://b/out"),
    ],
)
def test_what_would_feed_on_itself_is_refused(given: str, output: str, folders: Path) -> None:
    before = sorted(folders.rglob("*"))
    with pytest.raises(ConfigError, match=r"--output .*(next run would take results for sources|write: choose)"):
        check_apart(["elsewhere.mp4", given], output)
    assert sorted(folders.rglob("*")) == before


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("videos", "out"),
        ("videos", "videos-out"),
        ("videos/a.mp4", "videos/out"),
        ("videos/*.mp4", "videos/out"),
        ("*.mp4", "out"),
        ("videos/clip-{000..999}.tar", "videos/out"),
        ("work/clips", "work"),
        ("work/list.csv", "work"),
        ("work/*.csv", "work/out"),
        ("s3://b/videos", "s3://b/videos2"),
        ("s3://b/videos", "s3://c/videos/out"),
        ("s3://b/videos", "videos/out"),
        ("https://host/videos/a.mp4?X-Amz-Signature=1", "out"),
    ],
)
def test_what_lies_apart_is_allowed(given: str, output: str) -> None:
    check_apart([given], output)
