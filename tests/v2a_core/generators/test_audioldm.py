from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers_audioldm import AUDIOLDM_S_UNET, AUDIOLDM_VAE, AUDIOLDM_VOCODER, edit_json, save_miniature
from hypothesis import given, settings
from hypothesis import strategies as st

from v2a_core.compute.memory import GenerationError
from v2a_core.generators.audioldm.components import SAMPLERS, Geometry, build_scheduler
from v2a_core.generators.audioldm.config import MAX_DURATION_S, AudioLdmSettings
from v2a_core.generators.audioldm.generator import AudioLdmGenerator
from v2a_core.models.checkpoints import part_weights

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
QUICK: dict[str, Any] = {"num_inference_steps": 2, "precision": "fp32"}


SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_miniature(tmp_path_factory.mktemp("audioldm"))


@pytest.fixture(scope="module")
def generator(folder: Path) -> AudioLdmGenerator:
    return AudioLdmGenerator(folder, AudioLdmSettings(**QUICK))


def conditions(count: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((count, 512)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("sampler", "eta"),
    [
        *(pytest.param(name, 0.0, marks=[] if name in ("ddim", "dpm-solver++") else SLOW) for name in SAMPLERS),
        pytest.param("ddim", 1.0, marks=SLOW),
    ],
)
def test_equals_diffusers_pipeline(folder: Path, sampler: str, eta: float) -> None:
    from diffusers import AudioLDMPipeline

    pipeline = AudioLDMPipeline.from_pretrained(folder, dtype=torch.float32, low_cpu_mem_usage=False)
    pipeline.scheduler = build_scheduler(sampler, pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        prompt_embeds=torch.from_numpy(conditions(2)),  # the pipeline makes the null condition itself
        audio_length_in_s=0.64,
        num_inference_steps=5,
        guidance_scale=2.5,
        eta=eta,
        generator=[torch.Generator().manual_seed(seed) for seed in (7, 8)],
    ).audios
    choice = AudioLdmSettings(sampler=sampler, eta=eta, num_inference_steps=5, precision="fp32")
    made = AudioLdmGenerator(folder, choice).generate(conditions(2), [7, 8], 0.64)
    assert made.shape == expected.shape
    np.testing.assert_allclose(made, expected, atol=1e-4)


def test_condition_seed_guidance_and_noise_are_heard(folder: Path) -> None:
    def sound(row: int, seed: int, **options: Any) -> np.ndarray:
        choice = AudioLdmSettings(sampler="ddim", **{**QUICK, "num_inference_steps": 5, **options})
        return AudioLdmGenerator(folder, choice).generate(conditions(2)[[row]], [seed], 0.32)

    base = sound(0, 1)
    np.testing.assert_array_equal(base, sound(0, 1))
    for other in (sound(1, 1), sound(0, 2), sound(0, 1, guidance_scale=1.0), sound(0, 1, eta=1.0)):
        assert np.abs(other - base).max() > 1e-2


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("sampler", "eta"), [("ddim", 1.0), pytest.param("dpm-solver++", 0.0, marks=SLOW)])
def test_a_row_is_the_same_in_any_batch_and_order(folder: Path, sampler: str, eta: float, device: str) -> None:
    choice = AudioLdmSettings(sampler=sampler, eta=eta, num_inference_steps=4, precision="fp32", micro_batch=8)
    vectors, seeds = conditions(5), [3, 1, 4, 1, 2**63 - 1]
    together = AudioLdmGenerator(folder, choice, device).generate(vectors, seeds, 0.5)
    order = [4, 2, 0, 3, 1]
    for size in (1, 2, 3):
        other = AudioLdmGenerator(folder, choice.model_copy(update={"micro_batch": size}), device)
        made = other.generate(vectors[order], [seeds[row] for row in order], 0.5)
        np.testing.assert_allclose(made, together[order], atol=1e-4)  # 1e-3 is what users are promised


@settings(max_examples=6, deadline=None)
@given(duration_s=st.floats(0.1, 4.0))
def test_durations_are_exact(generator: AudioLdmGenerator, duration_s: float) -> None:
    made = generator.generate(conditions(1), [0], duration_s)
    assert made.dtype == np.float32
    assert made.shape == (1, round(duration_s * 16_000))
    assert np.isfinite(made).all()


@pytest.mark.parametrize("duration_s", [0.1, 20.0, MAX_DURATION_S])
def test_shortest_and_longest_sounds(folder: Path, duration_s: float) -> None:
    choice = AudioLdmSettings(num_inference_steps=1, guidance_scale=1.0)
    made = AudioLdmGenerator(folder, choice).generate(conditions(1), [0], duration_s)
    assert made.shape == (1, round(duration_s * 16_000))
    assert np.isfinite(made).all()


@given(
    duration_s=st.floats(1e-4, 20.0),
    vae_factor=st.sampled_from([4, 8]),
    unet_factor=st.sampled_from([1, 4, 8]),
    hop_length=st.sampled_from([160, 200]),
)
def test_latents_are_the_shortest_that_cover_the_sound(
    duration_s: float, vae_factor: int, unet_factor: int, hop_length: int
) -> None:
    geometry = Geometry(16_000, hop_length, 64, 512, 8, vae_factor, unet_factor)
    channels, frames, bins = geometry.latent_shape(duration_s)
    assert (channels, bins) == (8, 64 // vae_factor)
    assert frames % unet_factor == 0
    covered = frames * vae_factor * hop_length
    assert 0 <= covered - geometry.samples(duration_s) < unet_factor * vae_factor * hop_length


def test_no_conditions_give_no_sounds(generator: AudioLdmGenerator) -> None:
    assert generator.generate(np.zeros((0, 512), np.float32), [], 1.0).shape == (0, 16_000)


def test_conditions_are_normalised(generator: AudioLdmGenerator) -> None:
    made = generator.generate(conditions(1) * 30, [1], 0.3)
    np.testing.assert_allclose(made, generator.generate(conditions(1), [1], 0.3), atol=1e-4)


def test_bad_input_is_refused_with_the_reason(generator: AudioLdmGenerator) -> None:
    broken = conditions(4)
    broken[1], broken[3, 5] = 0, np.nan
    with pytest.raises(ValueError, match=r"rows \[1, 3\] are zero or not finite"):
        generator.generate(broken, [0, 1, 2, 3], 1.0)
    with pytest.raises(ValueError, match=r"\(2, 100\): the generator takes \(B, 512\)"):
        generator.generate(np.ones((2, 100), np.float32), [0, 1], 1.0)
    with pytest.raises(ValueError, match="2 conditions, but 1 seeds"):
        generator.generate(conditions(2), [0], 1.0)
    for duration_s in (0.0, -1.0, 21.0, float("nan"), 1e-6):
        with pytest.raises(ValueError, match="duration_s"):
            generator.generate(conditions(1), [0], duration_s)


def test_more_steps_than_trained_are_refused(folder: Path, tmp_path: Path) -> None:
    short = shutil.copytree(folder, tmp_path / "short")
    edit_json(short / "scheduler" / "scheduler_config.json", num_train_timesteps=10)
    with pytest.raises(ValueError, match="num_inference_steps = 25"):
        AudioLdmGenerator(short, AudioLdmSettings())


def test_out_of_memory_halves_the_micro_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = AudioLdmGenerator(folder, AudioLdmSettings(**QUICK, guidance_scale=1.0, micro_batch=4))
    expected = generator.generate(conditions(5), list(range(5)), 0.3)
    limit = 2
    forward = generator.parts.unet.forward

    def scarce(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if len(sample) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(generator.parts.unet, "forward", scarce)
    np.testing.assert_allclose(generator.generate(conditions(5), list(range(5)), 0.3), expected, atol=1e-3)
    assert generator.micro_batch == 2
    limit = 0
    with pytest.raises(GenerationError, match="not even one of the windows fits into the memory of cpu"):
        generator.generate(conditions(5), list(range(5)), 0.3)


def test_a_failing_row_is_nan_and_its_neighbours_are_untouched(folder: Path) -> None:
    generator = AudioLdmGenerator(folder, AudioLdmSettings(num_inference_steps=1, precision="bf16"))
    expected = generator.generate(conditions(3), [0, 1, 2], 0.3)
    seen: list[tuple[torch.dtype, int]] = []

    def poison(module: torch.nn.Module, inputs: Any, latents_BCHW: torch.Tensor) -> torch.Tensor:
        seen.append((latents_BCHW.dtype, len(latents_BCHW)))
        latents_BCHW[1 if len(latents_BCHW) == 3 else 0] = float("nan")
        return latents_BCHW

    generator.parts.vae.post_quant_conv.register_forward_hook(poison)
    made = generator.generate(conditions(3), [0, 1, 2], 0.3)
    assert np.isnan(made[1]).all()
    np.testing.assert_array_equal(made[[0, 2]], expected[[0, 2]])
    assert seen == [(torch.bfloat16, 3), (torch.float32, 1)]
    assert generator.parts.unet.dtype == generator.parts.vae.dtype == torch.bfloat16


def test_what_overflows_in_fp16_is_made_in_fp32(folder: Path, tmp_path: Path) -> None:
    large = shutil.copytree(folder, tmp_path / "large")
    edit_json(large / "vae" / "config.json", scaling_factor=1e-6)  # latents beyond fp16's 65504
    choice = AudioLdmSettings(num_inference_steps=1, precision="fp16")
    made = AudioLdmGenerator(large, choice).generate(conditions(2), [0, 1], 0.2)
    exact = AudioLdmGenerator(large, choice.model_copy(update={"precision": "fp32"}))
    np.testing.assert_allclose(made, exact.generate(conditions(2), [0, 1], 0.2), atol=1e-4)


@pytest.mark.slow
def test_bf16_is_close_to_fp32(folder: Path) -> None:
    def sound(precision: str) -> np.ndarray:
        choice = AudioLdmSettings(num_inference_steps=10, precision=precision)
        return AudioLdmGenerator(folder, choice).generate(conditions(2), [0, 1], 1.0)

    exact, fast = sound("fp32"), sound("bf16")
    for row in range(2):
        assert np.corrcoef(exact[row], fast[row])[0, 1] > 0.99


def test_prediction_type_is_the_checkpoints(folder: Path, tmp_path: Path) -> None:
    velocity = shutil.copytree(folder, tmp_path / "v")
    edit_json(velocity / "scheduler" / "scheduler_config.json", prediction_type="v_prediction")
    made = [AudioLdmGenerator(path, AudioLdmSettings(**QUICK)) for path in (folder, velocity)]
    first, second = (generator.generate(conditions(1), [0], 0.3) for generator in made)
    assert np.abs(first - second).max() > 1e-2


def test_text_embeddings_are_normalised_and_independent_of_their_batch(generator: AudioLdmGenerator) -> None:
    texts = ["a dog barks", "", "rain on a metal roof, steady", "雨 🎵 é", "word " * 2000]
    together = generator.embed_text(texts)
    assert together.shape == (5, 512)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([generator.embed_text([text]) for text in texts]), together, atol=1e-5)
    np.testing.assert_allclose(generator.null_embedding, together[1], atol=1e-5)
    assert np.abs(together[0] - together[2]).max() > 1e-2
    assert generator.embed_text([]).shape == (0, 512)


def test_incomplete_checkpoints_are_refused_with_the_reason(folder: Path, tmp_path: Path) -> None:
    def refused(name: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            AudioLdmGenerator(tmp_path / name, AudioLdmSettings())

    pickled = shutil.copytree(folder, tmp_path / "pickled")
    weights = pickled / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".h5"))
    refused("pickled", r"unet holds no weights \(found config\.json, diffusion_pytorch_model\.h5\): wanted")

    other = shutil.copytree(folder, tmp_path / "other")
    edit_json(other / "vocoder" / "config.json", upsample_initial_channel=80)
    refused("other", "vocoder does not fit the model's architecture; of another shape: ")
    thin = shutil.copytree(folder, tmp_path / "thin")
    edit_json(thin / "unet" / "config.json", layers_per_block=2)
    refused("thin", "unet does not fit the model's architecture; missing: ")

    unknown = shutil.copytree(folder, tmp_path / "unknown")
    shutil.rmtree(unknown / "scheduler")
    refused("unknown", "is no AudioLDM in diffusers' layout")

    mute = shutil.copytree(folder, tmp_path / "mute")
    shutil.rmtree(mute / "tokenizer")
    with pytest.raises(ValueError, match="has no tokenizer"):
        AudioLdmGenerator(mute, AudioLdmSettings()).generate(conditions(1), [0], 0.3)


def test_audioldm_s_has_the_published_size() -> None:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**AUDIOLDM_S_UNET)
    assert sum(parameter.numel() for parameter in unet.parameters()) == 185_036_552


def test_fp16_variant_alone_is_read(folder: Path, tmp_path: Path, generator: AudioLdmGenerator) -> None:
    half = shutil.copytree(folder, tmp_path / "half")
    for file in half.rglob("*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    assert part_weights(half / "unet").name == "diffusion_pytorch_model.fp16.safetensors"
    made = AudioLdmGenerator(half, AudioLdmSettings(**QUICK)).generate(conditions(1), [0], 0.3)
    np.testing.assert_array_equal(made, generator.generate(conditions(1), [0], 0.3))


@pytest.mark.slow
def test_full_size_audioldm_s_in_its_published_layout(folder: Path, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    for name in ("scheduler", "tokenizer", "text_encoder"):
        shutil.copytree(folder / name, tmp_path / name)
    UNet2DConditionModel(**AUDIOLDM_S_UNET).half().save_pretrained(tmp_path / "unet", variant="fp16")
    AutoencoderKL(**AUDIOLDM_VAE).half().save_pretrained(tmp_path / "vae", variant="fp16")
    vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(**AUDIOLDM_VOCODER))
    vocoder.half().save_pretrained(tmp_path / "vocoder", variant="fp16")
    generator = AudioLdmGenerator(tmp_path, AudioLdmSettings(num_inference_steps=1))
    assert generator.parts.geometry == Geometry(16_000, 160, 64, 512, 8, 4, 8)
    made = generator.generate(conditions(2), [0, 1], 1.0)
    assert made.shape == (2, 16_000)
    assert np.isfinite(made).all()
