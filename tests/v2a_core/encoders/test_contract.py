"""What every encoder of the registry must do, on the miniature bundle."""

import numpy as np
import pytest
import torch
from helpers_models import blip_bundle, miniature
from hypothesis import given
from hypothesis import strategies as st

from v2a_core.compute.micro_batches import MicroBatches
from v2a_core.compute.precision import choose_dtype
from v2a_core.config import ConfigError
from v2a_core.encoders import AUDIO_ENCODERS, VISION_ENCODERS, EncoderSettings, build_audio, build_vision
from v2a_core.models import load_bundle

ALL = [("vision", name) for name in VISION_ENCODERS.names()] + [("audio", name) for name in AUDIO_ENCODERS.names()]
# Bundles at a size for tests: one for each name of the registries.
BUNDLES = {"clip": miniature, "blip": blip_bundle, "clap": miniature}


def bundle_of(name):
    return BUNDLES[name]()


def encoder(kind, name, **settings):
    build = build_vision if kind == "vision" else build_audio
    return build(bundle_of(name), EncoderSettings(**{"precision": "fp32", **settings}))


def items(kind, count=6):
    """Different pictures, or different sounds."""
    rng = np.random.default_rng(0)
    if kind == "vision":
        colours = rng.integers(0, 256, (count, 3, 3, 3), dtype=np.uint8)
        return colours.repeat(32, axis=1).repeat(32, axis=2)
    times = np.arange(160_000) / 16_000
    tones = [0.4 * np.sin(2 * np.pi * 110 * 2**index * times) for index in range(count // 2)]
    widths = [4**index for index in range(count - count // 2)]  # from white noise to a rumble
    noises = [np.convolve(rng.normal(0, 0.2, 160_000), np.ones(width) / width, "same") for width in widths]
    return np.array([*tones, *noises], np.float32)


@pytest.fixture(scope="module", params=ALL, ids=[name for _, name in ALL])
def case(request):
    kind, name = request.param
    return kind, name, items(kind), encoder(kind, name).encode(items(kind))


def test_shape_dtype_and_norm(case):
    kind, name, inputs, embeddings = case
    assert embeddings.shape == (len(inputs), encoder(kind, name).dim)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_the_same_again_and_in_another_instance(case):
    kind, name, inputs, embeddings = case
    other = encoder(kind, name)
    np.testing.assert_array_equal(other.encode(inputs), embeddings)
    np.testing.assert_array_equal(other.encode(inputs), embeddings)


@pytest.mark.parametrize("micro_batch", [1, 4])
def test_batch_size_does_not_matter(case, micro_batch):
    kind, name, inputs, embeddings = case
    np.testing.assert_allclose(encoder(kind, name, micro_batch=micro_batch).encode(inputs), embeddings, atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "auto"])
def test_lower_precision_keeps_the_direction(case, precision):
    kind, name, inputs, embeddings = case
    cosine = (encoder(kind, name, precision=precision).encode(inputs) * embeddings).sum(axis=1)
    assert cosine.min() >= 0.999


def test_different_inputs_are_told_apart(case):
    _, _, _, embeddings = case
    cosine = embeddings @ embeddings.T
    assert cosine[~np.eye(len(cosine), dtype=bool)].max() < 0.98


def test_read_only_and_empty_input(case):
    kind, name, inputs, embeddings = case
    frozen = inputs.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(encoder(kind, name).encode(frozen), embeddings)
    assert encoder(kind, name).encode(inputs[:0]).shape == (0, encoder(kind, name).dim)


def test_refuses_wrong_input_and_says_what_it_got(case):
    kind, name, inputs, _ = case
    with pytest.raises(ValueError, match=r"float64"):
        encoder(kind, name).encode(inputs.astype(np.float64))
    with pytest.raises(ValueError, match=str(inputs.shape[1] - 1)):
        encoder(kind, name).encode(inputs[:, 1:])
    with pytest.raises(ValueError, match=r"must be"):
        encoder(kind, name).encode(inputs[0])


def test_space_names_model_and_weights(case):
    kind, name, _, _ = case
    assert encoder(kind, name).space.endswith(":" + bundle_of(name).fingerprints()[kind][:16])


def test_unknown_encoder_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"vision.encoder = 'dino': no such vision encoder; allowed: clip \| blip"):
        load_bundle("miniature", ["vision.encoder=dino"])


def test_what_is_built_is_what_the_settings_say(case):
    kind, name, _, _ = case
    part, built = bundle_of(name).parts()[kind], encoder(kind, name)
    traits = part.settings.traits(part.found)
    assert part.settings.encoder == name
    assert {field: getattr(built, field) for field in vars(traits) if field != "model"} == {
        field: value for field, value in vars(traits).items() if field != "model"
    }


def test_out_of_memory_halves_the_batch_and_loses_nothing():
    sizes = []

    def forward(part):
        sizes.append(part.stop - part.start)
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.eye(10)[part]

    batches = MicroBatches(8, 10, "cuda")
    np.testing.assert_array_equal(batches.run(forward, 10), np.eye(10))
    assert sizes == [8, 4, 2, 2, 2, 2, 2]
    batches.run(forward, 2)
    assert sizes[-1] == 2
    np.testing.assert_array_equal(MicroBatches(8, 10).run(forward, 10), np.eye(10))


@given(count=st.integers(0, 50), size=st.integers(1, 20), threads=st.integers(1, 12))
def test_lanes_embed_every_item_once_and_leave_the_threads_as_they_were(count, size, threads):
    before = torch.get_num_threads()
    seen = []

    def forward(part):
        assert torch.get_num_threads() == max(1, threads // min(threads, count, 8))
        seen.extend(range(part.start, part.stop))
        assert part.stop - part.start <= size
        return torch.eye(50)[part]

    try:
        torch.set_num_threads(threads)
        np.testing.assert_array_equal(MicroBatches(size, 50).run(forward, count), np.eye(50)[:count])
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert sorted(seen) == list(range(count))


def test_out_of_memory_with_a_single_item_is_an_error():
    def forward(part):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        MicroBatches(4, 10).run(forward, 4)


def test_other_errors_are_not_taken_for_memory():
    def forward(part):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match=r"shapes"):
        MicroBatches(4, 10).run(forward, 4)


def test_precision_by_name_and_by_processor(monkeypatch):
    assert choose_dtype("fp16", "cpu") == torch.float16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False})
    assert choose_dtype("auto", "cpu") == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert choose_dtype("auto", "cpu") == torch.bfloat16
