from __future__ import annotations

import subprocess
import sys

import pytest

from v2a_core.config import ConfigError, Settings, load, setting
from v2a_core.generators import check_settings, load_generator
from v2a_core.generators.audioldm.config import AudioLdmSettings
from v2a_core.generators.config import GENERATOR, AnyGeneratorSettings
from v2a_core.models import LocalBundle, load_bundle
from v2a_core.models.kinds import GENERATORS
from v2a_core.stages.config import SoundSettings


class Job(Settings):
    generator: AnyGeneratorSettings = setting(GENERATOR, "the generator")


class OtherSettings(AudioLdmSettings):
    kind: str = "musicgen"


def test_default_is_the_fast_preset() -> None:
    assert load(Job, job="generate", source="fast") == Job()


def test_paper_preset_is_audioldms_original_sampling() -> None:
    generator = load(SoundSettings, job="generate", source="paper").generator
    assert isinstance(generator, AudioLdmSettings)
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


@pytest.mark.parametrize("name", GENERATORS.names())
class TestEveryGenerator:
    def test_names_itself_in_its_settings(self, name: str) -> None:
        settings = GENERATORS.settings(name)()
        assert settings.kind == name
        assert load(Job, job="generate", overrides=[f"generator.kind={name}"]).generator == settings
        assert settings.identity()["kind"] == name
        assert settings.max_duration_s > 0
        assert settings.summary

    def test_says_what_its_folder_holds(self, name: str) -> None:
        local = load_bundle("miniature").resolve()
        assert local.generator_name == name
        kind = GENERATORS[name].component
        assert local.generator.found.files
        kind.check(local.generator)
        assert kind.sample_rate(local.generator) == load_generator(local, GENERATORS.settings(name)()).sample_rate
        assert kind.text_tower(local.generator) is not None


def test_a_generator_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="kind = 'musicgen': no such generator; allowed: audioldm"):
        load(Job, job="generate", overrides=["generator.kind=musicgen"])
    with pytest.raises(ConfigError, match=r"generator\.generator = 'musicgen': no such generator; allowed: audioldm"):
        load_bundle("miniature", ["generator.generator=musicgen"])


def test_settings_of_another_generator_than_the_bundles_are_refused() -> None:
    local: LocalBundle = load_bundle("miniature").resolve()
    check_settings(local, AudioLdmSettings())
    with pytest.raises(ConfigError, match=r"'musicgen', but .* 'miniature' is 'audioldm': say --set generator.kind=au"):
        check_settings(local, OtherSettings())


def test_what_only_changes_the_speed_is_no_part_of_the_identity() -> None:
    plain, faster = AudioLdmSettings(), AudioLdmSettings(micro_batch=3, compile=True)
    assert plain.identity() == faster.identity() != AudioLdmSettings(num_inference_steps=3).identity()
