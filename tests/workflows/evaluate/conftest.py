"""Soundtracks that all tests of evaluations share: a module that changes them changes its own copy."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import helpers_catalog
import pytest
from helpers_evaluate import make_soundtracks, write_table


class Made(NamedTuple):
    """What was listed, and what `v2a generate` made of it."""

    listed: list[str]
    soundtracks: Path


@pytest.fixture(scope="session")
def made(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Made:
    catalog = helpers_catalog.catalog(tmp_path_factory.mktemp("world") / "catalog")
    listed = [write_table(catalog), str(catalog / "shard-000.tar")]
    return Made(listed, make_soundtracks(tmp_path_factory.mktemp("made"), listed))
