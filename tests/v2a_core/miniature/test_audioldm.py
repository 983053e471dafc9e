from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_audioldm import save_miniature

from v2a_core.generators.audioldm.components import build_scheduler
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.generators.audioldm.generator import AudioLdmGenerator
from v2a_core.miniature.text import build_text_encoder
from v2a_core.models import load_bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_miniature(tmp_path_factory.mktemp("miniature"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_same_seed_same_files(folder: Path, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    again = contents(save_miniature(tmp_path))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert again == contents(folder)
    assert sum(len(content) for content in again.values()) < 20e6
    assert not [name for name in again if name.endswith((".bin", ".pt"))]


def test_diffusers_loads_it(folder: Path) -> None:
    from diffusers import AudioLDMPipeline

    pipeline = AudioLDMPipeline.from_pretrained(folder, dtype=torch.float32, low_cpu_mem_usage=False)
    index = json.loads((folder / "model_index.json").read_text())
    assert type(pipeline.tokenizer).__name__ == index["tokenizer"][1]
    assert pipeline.scheduler.config.beta_end == 0.0195


@pytest.mark.parametrize("trained", [True, False])
def test_each_sampler_takes_its_own_spacing_as_with_the_published_scheduler(folder: Path, trained: bool) -> None:
    path = load_bundle("miniature").resolve().generator_path if trained else folder
    config = json.loads((path / "scheduler" / "scheduler_config.json").read_text())
    assert "timestep_spacing" not in config
    first = {}
    for sampler in ("dpm-solver++", "ddim"):
        scheduler = build_scheduler(sampler, config)
        scheduler.set_timesteps(25)
        first[sampler] = int(scheduler.timesteps[0])
    assert first == {"dpm-solver++": 999, "ddim": 961}


def test_untrained_sound_is_neither_silent_nor_clipped(folder: Path) -> None:
    generator = AudioLdmGenerator(folder, AudioLdmSettings(num_inference_steps=5))
    conditions = np.random.default_rng(1).standard_normal((4, 512)).astype(np.float32)
    waveforms = generator.generate(conditions, [5, 6, 7, 8], 2.0)
    assert np.isfinite(waveforms).all()
    levels = 20 * np.log10(waveforms.std(axis=1))
    assert ((levels > -40) & (levels < -10)).all(), levels
    assert np.abs(waveforms).max() < 0.99
    assert np.abs(waveforms.mean(axis=1)).max() < 0.02


def test_tokenizer_takes_any_text() -> None:
    _, tokenizer = build_text_encoder(0)
    for text in ("", "a dog barks", "  spaces\t\n", "naïve 雨 🎵", "\x00\x7f"):
        ids = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == text
    assert len(tokenizer("the sound of a bell ringing").input_ids) < 12


def test_texts_mean_different_things() -> None:
    encoder, tokenizer = build_text_encoder(0)
    tokens = tokenizer(["", "a dog barks", "rain falls", "a drum is hit"], padding=True, return_tensors="pt")
    with torch.no_grad():
        embeddings = encoder(tokens.input_ids, attention_mask=tokens.attention_mask).text_embeds
    assert embeddings.shape == (4, 512)
    unit = torch.nn.functional.normalize(embeddings, dim=-1)
    assert (unit @ unit.T - 2 * torch.eye(4)).max() < 0.95
