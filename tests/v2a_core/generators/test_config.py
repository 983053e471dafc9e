from __future__ import annotations

import subprocess
import sys

import pytest

from v2a_core.config import ConfigError, Settings, load, setting
from v2a_core.generators import GENERATORS, load_generator
from v2a_core.generators.config import GeneratorSettings


class Job(Settings):
    generator: GeneratorSettings = setting(GeneratorSettings, "the generator")


def test_default_is_the_fast_preset() -> None:
    assert load(Job, job="generate", source="fast") == Job()


def test_paper_preset_is_audioldms_original_sampling() -> None:
    generator = load(Job, job="generate", source="paper").generator
    assert (generator.sampler, generator.num_inference_steps, generator.eta) == ("ddim", 200, 1.0)
    assert generator.guidance_scale == 2.5


def test_noise_for_a_sampler_without_noise_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"generator\.eta = 0\.5.*eta is for the ddim sampler"):
        load(Job, job="generate", overrides=["generator.eta=0.5"])


@pytest.mark.parametrize(
    "override", ["num_inference_steps=0", "guidance_scale=0.5", "micro_batch=-1", "sampler=leap", "precision=int8"]
)
def test_values_that_make_no_sense_are_refused_by_name(override: str) -> None:
    with pytest.raises(ConfigError, match=f"generator.{override.partition('=')[0]}"):
        load(Job, job="generate", overrides=[f"generator.{override}"])


def test_configuration_loads_without_torch() -> None:
    code = "import sys, v2a_core.generators.config, v2a_core.generators; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_generator_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no generator 'musicgen'; known: audioldm"):
        load_generator("musicgen", "folder", GeneratorSettings())
    assert list(GENERATORS) == ["audioldm"]
