"""Embeddings of a version whose sounds came to CLAP by another path: refused, and made anew by the command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import helpers_catalog
import pytest

from v2a_core.config import ConfigError, load
from v2a_core.mappers.choice import check_mapper
from v2a_core.metrics.inputs import read_references
from v2a_core.models import load_bundle
from v2a_core.models.parts import AudioTraits, Traits
from v2a_core.training.config import DataSettings
from v2a_core.training.reading import read_manifest
from workflows.embed import job as embed
from workflows.embed.config import EmbedJob
from workflows.train import job as train
from workflows.train.config import TrainJob

pytestmark = pytest.mark.slow

ANEW = r"make it anew in another folder: `v2a embed \.\.\. --output FOLDER`"


@contextlib.contextmanager
def as_before() -> Iterator[None]:
    """The program as it was when spaces were named without the path: what its jobs write is theirs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(AudioTraits, "space", Traits.space)
        yield


def space() -> str:
    return load_bundle("miniature").resolve().audio_space


NOW = space()
with as_before():
    BEFORE = space()


def run_embed(catalog: str, output: str) -> None:
    settings = ("segments.length_s=1.0", "segments.min_length_s=0.4", "encoders.precision=fp32")
    embed.run([catalog], output, load(EmbedJob, job="embed", overrides=list(settings)), models="miniature")


@pytest.fixture(scope="module")
def made(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog, its embeddings, those of before, and a mapper of before."""
    folder = tmp_path_factory.mktemp("paths")
    helpers_catalog.video(folder / "catalog" / "0.mp4", 1.3, hue=30)
    run_embed(str(folder / "catalog"), str(folder / "now"))
    with as_before():
        run_embed(str(folder / "catalog"), str(folder / "before"))
    return folder


def test_old_embeddings_are_refused_with_the_command_that_makes_them_anew(made: Path, tmp_path: Path) -> None:
    before = str(made / "before")
    with pytest.raises(ConfigError, match=f"{before} .*{BEFORE}.*{ANEW}"):
        train.run(before, str(tmp_path / "mapper"), load(TrainJob, job="train"))
    with pytest.raises(ConfigError, match=rf"audio space '{BEFORE}'.*HTSAT-miniature\+sinc:.*{ANEW}"):
        read_references(before, load_bundle("miniature").resolve())
    assert not (tmp_path / "mapper").exists()


def test_no_run_goes_on_with_old_embeddings(made: Path) -> None:
    rows = sorted((made / "before" / "rows").iterdir())
    with pytest.raises(ConfigError, match=rf"spaces\.audio: the output has '{BEFORE}', this run 'HTSAT"):
        run_embed(str(made / "catalog"), str(made / "before"))
    assert sorted((made / "before" / "rows").iterdir()) == rows


def test_the_command_makes_what_is_taken(made: Path) -> None:
    assert read_manifest(str(made / "now"), DataSettings())["spaces"]["audio"] == NOW
    assert read_references(str(made / "now"), load_bundle("miniature").resolve())


def test_a_mapper_of_old_embeddings_is_refused_with_both_commands(tmp_path: Path) -> None:
    local = load_bundle("miniature").resolve()
    assert check_mapper(helpers_catalog.random_mapper(tmp_path / "now", local), None, local)
    with as_before():
        mapper = helpers_catalog.random_mapper(tmp_path / "before", local)
    with pytest.raises(ConfigError, match=rf"audio space '{BEFORE}'.*{ANEW}, then `v2a train \.\.\. --output FOLDER`"):
        check_mapper(mapper, None, local)
