"""Whether CLAP and generator share one space."""

import logging

import pytest
import torch
from helpers_models import miniature, with_weights
from safetensors.torch import load_file, save_file

from v2a_core.miniature.clap import with_module
from v2a_core.models import ModelError, check_spaces, parts
from v2a_core.models.checkpoints import load_tensors
from v2a_core.models.spaces import made_anew


def with_clap(tmp_path, change):
    """The miniature bundle with another CLAP checkpoint."""
    tensors = load_tensors(miniature().audio.path)
    torch.save({"state_dict": with_module(change(dict(tensors)))}, tmp_path / "clap.pt")
    return with_weights(miniature(), audio=tmp_path / "clap.pt")


def with_text_encoder(tmp_path, change):
    """The miniature bundle with another generator."""
    folder = tmp_path / "text_encoder"
    folder.mkdir()
    save_file(
        change(load_file(miniature().generator_path / "text_encoder" / "model.safetensors")),
        folder / "model.safetensors",
    )
    return with_weights(miniature(), generator=tmp_path)


def test_the_miniature_is_one_space():
    assert check_spaces(miniature()).status == "same"


def test_an_audio_space_names_the_path_of_sounds_to_clap(monkeypatch):
    """The same weights behind another path are another space; an old one says what to do."""
    now = miniature().audio_space
    assert now == f"HTSAT-miniature+sinc:{miniature().audio.fingerprint[:16]}"
    assert made_anew(now, "embed") is None
    monkeypatch.setattr(parts, "CLAP_PATH", "another")
    assert miniature().audio_space == now.replace("+sinc", "+another")
    for other in (miniature().audio_space, now.replace("+sinc", "")):
        advice = made_anew(other, "embed", "train")
        assert advice.startswith(f"sounds came into {other!r} by another path")
        assert advice.endswith("`v2a embed ... --output FOLDER`, then `v2a train ... --output FOLDER`")


def test_half_precision_is_the_same_space(tmp_path):
    halved = with_text_encoder(
        tmp_path,
        lambda state: {name: value.half() if value.is_floating_point() else value for name, value in state.items()},
    )
    assert check_spaces(halved).status == "same"


def test_audioldms_own_checkpoint_is_the_same_space(tmp_path):
    tensors = load_tensors(miniature().audio.path)
    ldm = {f"cond_stage_model.model.{name}": value for name, value in tensors.items()}
    torch.save({"state_dict": {**ldm, "first_stage_model.x": torch.zeros(1)}}, tmp_path / "ldm.ckpt")
    assert check_spaces(with_weights(miniature(), audio=tmp_path / "ldm.ckpt")).status == "same"


def test_one_changed_number_is_another_space(tmp_path, caplog):
    name = "text_projection.2.weight"

    def change(state):
        state[name] = state[name].clone()
        state[name][3, 4] += 0.01
        return state

    other = with_clap(tmp_path, change)
    with pytest.raises(ModelError, match=rf"different spaces.*{name} differs by up to 0.01"):
        check_spaces(other)
    with caplog.at_level(logging.WARNING):
        assert check_spaces(other, on_mismatch="warn").status == "different"
    assert "different spaces" in caplog.text


def test_another_text_tower_is_another_space(tmp_path):
    def cut(state):
        del state["text_model.pooler.dense.bias"]
        state["text_projection.linear1.bias"] = torch.zeros(7)
        return state

    with pytest.raises(
        ModelError, match=r"pooler.dense.bias is only in the CLAP checkpoint; text_projection.0.bias is"
    ):
        check_spaces(with_text_encoder(tmp_path, cut))


def test_a_checkpoint_without_text_tower_cannot_be_checked(tmp_path, caplog):
    audio_only = with_clap(
        tmp_path, lambda state: {name: value for name, value in state.items() if not name.startswith("text")}
    )
    with caplog.at_level(logging.WARNING):
        assert check_spaces(audio_only).status == "unchecked"
    assert "cannot be checked" in caplog.text


def test_a_generator_without_text_encoder_is_refused(tmp_path):
    (tmp_path / "text_encoder").mkdir()
    with pytest.raises(ModelError, match="holds no weights"):
        check_spaces(with_weights(miniature(), generator=tmp_path))
