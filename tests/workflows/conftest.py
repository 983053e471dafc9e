"""Soundtracks that tests of several jobs share: a module that changes them changes its own copy."""

from __future__ import annotations

import helpers_catalog
import pytest
from helpers_evaluate import Made, make_soundtracks, write_table


@pytest.fixture(scope="session")
def made(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """What `v2a generate` makes of a small catalog, of which a file is broken and another is not there."""
    catalog = helpers_catalog.catalog(tmp_path_factory.mktemp("world") / "catalog")
    table = write_table(catalog, "broken.mp4", "gone.mp4")
    return make_soundtracks(tmp_path_factory.mktemp("made"), [table, str(catalog / "shard-000.tar")])
