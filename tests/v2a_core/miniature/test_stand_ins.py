"""Stand-ins of the paper's other models: the real classes, in the miniature's spaces where the paper's are."""

from __future__ import annotations

import pytest

from v2a_core.miniature.stand_ins import STAND_INS, write_stand_in
from v2a_core.models import check_spaces, check_weights, load_bundle
from v2a_core.reproduction.work import generator_millions


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: load_bundle(write_stand_in(name, folder / name)) for name in STAND_INS}


def test_each_is_whole_and_says_that_it_is_untrained(bundles):
    for name, bundle in bundles.items():
        local = bundle.resolve()
        check_weights(local)
        assert check_spaces(local).status == "same"
        assert (local.name, local.trained) == (f"miniature-{name}", False)


def test_one_part_is_exchanged(bundles):
    main = load_bundle("miniature").resolve()
    for name, bundle in bundles.items():
        local = bundle.resolve()
        assert local.audio_space == main.audio_space
        assert (local.vision_space == main.vision_space) == (name != "blip")
        other = {
            part for part in ("vision", "audio", "generator") if local.fingerprints()[part] != main.fingerprints()[part]
        }
        assert other == {"vision" if name == "blip" else "generator"}
    assert bundles["blip"].resolve().vision_dim == 256  # as published: narrower than the generator's condition


def test_the_large_generator_is_four_times_the_small_one(bundles):
    small, large = (generator_millions(bundles[name].resolve()) for name in ("small", "large"))
    assert small == generator_millions(load_bundle("miniature").resolve())
    assert large / small == pytest.approx(739.14 / 185.04, rel=0.05)  # as AudioLDM's


def test_writing_again_keeps_the_weights(bundles, tmp_path):
    first = write_stand_in("small", tmp_path)
    weights = tmp_path / "generator" / "unet" / "diffusion_pytorch_model.safetensors"
    before = weights.stat().st_mtime_ns
    assert write_stand_in("small", tmp_path) == first
    assert weights.stat().st_mtime_ns == before
    assert load_bundle(first).resolve().fingerprints() == bundles["small"].resolve().fingerprints()
