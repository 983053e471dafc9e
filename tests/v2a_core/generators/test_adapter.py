"""A curve steers AudioLDM through an adapter: what follows nothing stays as it is, what follows one is heard."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import helpers_adapter
import numpy as np
import pytest
import torch
from helpers_audioldm import AUDIOLDM_S_UNET, edit_json
from helpers_models import miniature

from v2a_core.config import ConfigError
from v2a_core.generators import load_generator
from v2a_core.generators.adapters import check_adapter, find_adapter, read_config
from v2a_core.generators.audioldm.adapter import CurveTape, EnvelopeAdapter, added, entries_of, stride_of
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.generators.audioldm.generator import AudioLdmGenerator
from v2a_core.models.errors import ModelError
from v2a_core.protocols import CurveFollower, Track

OVERLAP_S = 0.64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return helpers_adapter.random_adapter(tmp_path_factory.mktemp("adapter") / "adapter", miniature())


def load(folder: Path | None, **options: Any) -> AudioLdmGenerator:
    local = miniature()
    settings = AudioLdmSettings(**{"num_inference_steps": 3, "precision": "fp32", **options})
    adapter = find_adapter(str(folder), local) if folder else None
    generator = load_generator(local, settings, adapter=adapter)
    assert isinstance(generator, AudioLdmGenerator)
    return generator


def track(*starts_s: float, length_s: float, seed: int = 0, **more: Any) -> Track:
    conditions = np.random.default_rng(seed).standard_normal((len(starts_s), 512)).astype(np.float32)
    seeds = [100 * seed + number for number in range(len(starts_s))]
    return Track(conditions, seeds, list(starts_s), length_s, **more)


def make(generator: AudioLdmGenerator, *tracks: Track) -> list[np.ndarray]:
    return list(generator.generate_tracks(tracks, OVERLAP_S))


@pytest.mark.parametrize("option", ["none", "no curve", "scale", "steps"])
def test_what_follows_nothing_has_the_samples_of_a_generator_without_an_adapter(folder: Path, option: str) -> None:
    one = track(0.0, 1.3, length_s=2.4)
    (expected,) = make(load(None), one)
    off = {"scale": {"scale": 0.0}, "steps": {"steps_share": 0.0}}.get(option, {})
    follows = one if option == "no curve" else dataclasses.replace(one, curve=helpers_adapter.curve(2.4, 0.5))
    if option == "none":
        follows = dataclasses.replace(one, curve=helpers_adapter.curve(2.4, 0.5, weight_F=np.zeros(120, np.float32)))
    (made,) = make(load(folder, adapter=off), follows)
    np.testing.assert_array_equal(made, expected)


def test_a_curve_its_scale_and_its_steps_are_heard(folder: Path) -> None:
    plain = track(0.0, length_s=1.2)
    early, late = (dataclasses.replace(plain, curve=helpers_adapter.curve(1.2, at)) for at in (0.1, 0.8))
    base = make(load(folder), early)[0]
    others = [
        make(load(folder), plain)[0],
        make(load(folder), late)[0],
        make(load(folder, adapter={"scale": 0.5}), early)[0],
        make(load(folder, adapter={"steps_share": 1.0}), early)[0],
        make(load(folder, guidance_scale=1.0), early)[0],
    ]
    for other in others:
        assert np.abs(other - base).max() > 1e-3
    np.testing.assert_array_equal(make(load(folder), early)[0], base)


def test_the_null_condition_follows_nothing(folder: Path) -> None:
    """With guidance, a curve whose track asks for its own null would else cancel in part."""
    generator = load(folder, num_inference_steps=1, adapter={"steps_share": 1.0})
    seen: list[torch.Tensor] = []
    hook = generator.parts.unet.conv_in.register_forward_hook(lambda module, inputs, output: seen.append(output))
    plain = track(0.0, length_s=0.6)
    for one in (plain, dataclasses.replace(plain, curve=helpers_adapter.curve(0.6, 0.2))):
        make(generator, one)
    hook.remove()
    # This hook came before the adapter's, which changes what it returns only: compare what the next layer got.
    free, steered = seen
    np.testing.assert_array_equal(free[0], steered[0])


def test_a_track_is_the_same_alone_and_among_others_in_any_order(folder: Path) -> None:
    tracks = [
        track(0.0, 1.0, 2.2, length_s=3.0, seed=1, curve=helpers_adapter.curve(3.0, 0.4, 1.1, 2.5)),
        track(0.0, length_s=1.2, seed=2),
        track(0.0, length_s=1.2, seed=3, curve=helpers_adapter.curve(0.7, 0.3)),
        track(0.0, 1.1, length_s=2.0, seed=4, curve=helpers_adapter.curve(1.0, 0.3, holds=True)),
    ]
    together = make(load(folder), *tracks)
    order = [2, 0, 3, 1]
    for size in (1, 3):
        made = make(load(folder, micro_batch=size), *(tracks[place] for place in order))
        for place, waveform in zip(order, made, strict=True):
            np.testing.assert_allclose(waveform, together[place], atol=1e-4)


def test_a_track_without_a_curve_beside_one_with_is_bit_for_bit_its_own(folder: Path) -> None:
    free, follows = track(0.0, length_s=1.2, seed=2), track(0.0, length_s=1.2, seed=3)
    expected = make(load(folder), free, follows)
    made = make(load(folder), free, dataclasses.replace(follows, curve=helpers_adapter.curve(1.2, 0.3)))
    np.testing.assert_array_equal(made[0], expected[0])
    assert np.abs(made[1] - expected[1]).max() > 1e-3


def test_half_precision_follows_too(folder: Path) -> None:
    one = track(0.0, length_s=1.2, curve=helpers_adapter.curve(1.2, 0.3))
    exact, fast = make(load(folder), one)[0], make(load(folder, precision="bf16"), one)[0]
    assert np.corrcoef(exact, fast)[0, 1] > 0.98


def random_network(stride: int = 4) -> EnvelopeAdapter:
    torch.manual_seed(0)
    unet = {"block_out_channels": [8, 12, 16], "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2]}
    network = EnvelopeAdapter(entries_of(unet), stride, 8)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@torch.inference_mode()
def test_windows_that_share_a_moment_add_the_same_there_wherever_they_begin() -> None:
    frames = 120
    network = random_network()
    tape = CurveTape(network, helpers_adapter.curve(frames * 0.08, 1.0, 4.0, 5.5), frames, 1.0)
    first, second = tape.part(40, 40), tape.part(60, 40)
    for entry, one, other in zip(network.entries, first, second, strict=True):
        width = 40 >> entry.level
        torch.testing.assert_close(one[:, width // 2 :], other[:, : width // 2])
    for start in (41, 42, 43):  # off the grid of the halvings
        off = tape.part(start, 40)
        assert [part.shape for part in off] == [part.shape for part in first]
        torch.testing.assert_close(off[0][:, : 43 - start], first[0][:, start - 40 : 3])
        for level in (3, 4):  # of a quarter of the rate: the same up to the three frames by which they lie apart
            assert (off[level] - first[level]).abs().max() < (first[level] - first[level].roll(1, 1)).abs().max()


@torch.inference_mode()
def test_what_is_said_of_a_moment_does_not_depend_on_the_length_of_the_soundtrack() -> None:
    network = random_network()
    short = CurveTape(network, helpers_adapter.curve(9.6, 1.0, 4.0), 120, 1.0).part(0, 64)
    long = CurveTape(network, helpers_adapter.curve(96.0, 1.0, 4.0), 1200, 1.0).part(0, 64)
    for one, other in zip(short, long, strict=True):
        torch.testing.assert_close(one, other)


@torch.inference_mode()
def test_a_curve_counts_as_much_as_its_weight_says() -> None:
    network = random_network()
    weight_F = np.repeat([1, 0.5, 0], 128).astype(np.float32)
    full = CurveTape(network, helpers_adapter.curve(7.68, 1.0, 4.0), 96, 1.0).part(0, 96)
    part = CurveTape(network, helpers_adapter.curve(7.68, 1.0, 4.0, weight_F=weight_F), 96, 2.0).part(0, 96)
    for one, other in zip(full, part, strict=True):
        third = one.shape[1] // 3
        torch.testing.assert_close(other[:, :third], 2 * one[:, :third])
        torch.testing.assert_close(other[:, third : 2 * third], one[:, third : 2 * third])
        assert not other[:, 2 * third :].any()


def test_an_untrained_adapter_changes_nothing() -> None:
    network = EnvelopeAdapter(random_network().entries, 4, 8)
    assert all(not residual_BCH.any() for residual_BCH in network(torch.rand(2, 2, 64)))


def test_a_curve_needs_an_adapter(folder: Path) -> None:
    with pytest.raises(ValueError, match="no adapter to follow it"):
        make(load(None), track(0.0, length_s=1.0, curve=helpers_adapter.curve(1.0, 0.2)))
    assert isinstance(load(None), CurveFollower)


def test_an_adapter_of_another_generator_is_refused_naming_both(folder: Path, tmp_path: Path) -> None:
    local = miniature()
    adapter = find_adapter(str(folder), local)
    assert adapter is not None
    assert check_adapter(adapter, local) == read_config(adapter)
    assert find_adapter(None, local) is None
    stranger = helpers_adapter.random_adapter(tmp_path / "other", local)
    edit_json(stranger / "config.json", generator_fingerprint="f" * 64)
    found = find_adapter(str(stranger), local)
    assert found is not None
    ours = local.generator.fingerprint[:16]
    with pytest.raises(ConfigError, match=f"generator 'audioldm:{'f' * 16}', bundle .* has 'audioldm:{ours}'"):
        check_adapter(found, local)


def test_a_damaged_adapter_is_refused_with_the_reason(folder: Path, tmp_path: Path) -> None:
    local = miniature()

    def refused(name: str, message: str) -> None:
        def opened() -> None:
            found = find_adapter(str(tmp_path / name), local)
            assert found is not None
            check_adapter(found, local)
            load_generator(local, AudioLdmSettings(), adapter=found)

        with pytest.raises(ModelError, match=message):
            opened()

    (tmp_path / "empty").mkdir()
    refused("empty", "folder without weights")
    refused("nowhere", "there is no such file or folder")
    changed = helpers_adapter.random_adapter(tmp_path / "changed", local)
    helpers_adapter.random_adapter(tmp_path / "seed", local, seed=1)
    (tmp_path / "seed" / "adapter.safetensors").rename(changed / "adapter.safetensors")
    refused("changed", "damaged or was changed: its sha256 is")
    bare = helpers_adapter.random_adapter(tmp_path / "bare", local)
    (bare / "config.json").unlink()
    refused("bare", "no adapter: it has no config.json")
    for name, values, message in (
        ("newer", {"schema_version": 9}, "has schema version 9, this program reads 1"),
        ("faster", {"curve_hz": 100}, "curves of 100 values a second, here they have 50"),
        ("wider", {"width": 17}, "does not fit the model's architecture; of another shape"),
        ("coarser", {"latents": {"channels": 8, "bins": 8, "frame_s": 0.04}}, "frames of 0.04 s, the generator's have"),
        ("odd", {"blocks": "two"}, "is not an adapter's: blocks"),
    ):
        edit_json(helpers_adapter.random_adapter(tmp_path / name, local) / "config.json", **values)
        refused(name, message)


def test_the_rate_of_latents_must_divide_that_of_curves() -> None:
    assert [stride_of(frame_s) for frame_s in (0.04, 0.08)] == [2, 4]
    with pytest.raises(ValueError, match=r"frames of 0\.05 s hold no whole number"):
        stride_of(0.05)


@pytest.mark.parametrize(("size", "width"), [("s", 128), ("m", 192), ("l", 256)])
def test_full_size_adapters_have_four_to_eight_million_parameters(size: str, width: int) -> None:
    channels = [width * factor for factor in (1, 2, 3, 5)]
    with torch.device("meta"):
        network = EnvelopeAdapter(entries_of({**AUDIOLDM_S_UNET, "block_out_channels": channels}), 2, 320)
        shapes = [residual_BCH.shape for residual_BCH in network(torch.empty(1, 2, 512))]
    assert 4e6 < sum(parameter.numel() for parameter in network.parameters()) < 8e6
    c = channels
    assert [tuple(shape) for shape in shapes] == [
        (1, c[0], 256), (1, c[0], 256), (1, c[1], 128), (1, c[2], 64), (1, c[3], 32), (1, c[3], 32),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("size", "width"), [("s", 128), ("m", 192), ("l", 256)])
@torch.inference_mode()
def test_residuals_of_full_size_enter_its_unet(size: str, width: int) -> None:
    from diffusers import UNet2DConditionModel

    channels = [width * factor for factor in (1, 2, 3, 5)]
    config = {**AUDIOLDM_S_UNET, "block_out_channels": channels, "cross_attention_dim": channels}
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config).to(torch.bfloat16)
    unet = unet.to_empty(device="cpu")
    source = torch.Generator().manual_seed(0)
    for parameter in unet.parameters():
        parameter.data.normal_(0, 0.02, generator=source)
    torch.manual_seed(0)
    network = EnvelopeAdapter(entries_of(unet.config), 2, 320)
    latents, labels = torch.randn(2, 8, 32, 16).bfloat16(), torch.randn(2, 512).bfloat16()

    def run() -> torch.Tensor:
        made: torch.Tensor = unet(latents, 500, encoder_hidden_states=None, class_labels=labels).sample
        return made

    plain = run()
    tape = CurveTape(network, helpers_adapter.curve(1.28, 0.4), 32, 1.0)
    with added(unet, network.entries, [part[None] for part in tape.part(0, 32)]):
        np.testing.assert_array_equal(run().float(), plain.float())  # an untrained adapter adds zeros
    for output in network.outputs:
        torch.nn.init.normal_(output.weight, std=0.5)
    tape = CurveTape(network, helpers_adapter.curve(1.28, 0.4), 32, 1.0)
    with added(unet, network.entries, [part[None] for part in tape.part(0, 32)]):
        steered = run()
    np.testing.assert_array_equal(steered[0].float(), plain[0].float())
    assert (steered[1] - plain[1]).abs().max() > 0
    np.testing.assert_array_equal(run().float(), plain.float())
