"""The published numbers of parameters against full-size models, as they are built here."""

from __future__ import annotations

import pytest
import torch

from v2a_core.encoders.clap_config import load_clap_config
from v2a_core.encoders.clap_tower import ClapAudioTower
from v2a_core.inspection.files import AUDIO_TOWERS


@pytest.mark.parametrize("name", ["HTSAT-tiny", pytest.param("HTSAT-base", marks=pytest.mark.slow)])
def test_a_full_size_audio_tower_has_the_published_number(name: str) -> None:
    with torch.no_grad():
        tower = ClapAudioTower(load_clap_config(name))
    assert sum(item.numel() for item in tower.audio_branch.parameters()) == AUDIO_TOWERS[name]
