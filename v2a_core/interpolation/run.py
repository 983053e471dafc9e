"""An interpolation: conditions on the way between two ends, a sound for each, a page to hear them in a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from v2a_core import storage
from v2a_core.compute.seeds import segment_seed
from v2a_core.config import ConfigError
from v2a_core.generators import check_settings, load_generator
from v2a_core.interpolation.config import InterpolationSettings
from v2a_core.interpolation.ends import End, conditions_of
from v2a_core.interpolation.page import Step, write_page
from v2a_core.media.config import FinishSettings
from v2a_core.media.loudness import finish_waveform
from v2a_core.media.types import MediaError
from v2a_core.media.write import write_audio
from v2a_core.models import LocalBundle
from v2a_core.outputs import manifest
from v2a_core.outputs.manifest import Manifest
from v2a_core.protocols import ConditionMapper, Floats
from v2a_core.stages.slerp import slerp
from v2a_core.storage.checksums import sha256_of
from v2a_core.version import __version__


@dataclass(frozen=True)
class MappedBy:
    """The mapper and what manifests call it."""

    mapper: ConditionMapper | None
    fingerprint: str


def interpolate(
    ends: tuple[End, End],
    output: str,
    settings: InterpolationSettings,
    local: LocalBundle,
    mapped_by: MappedBy,
    device: str = "cpu",
) -> str:
    """Make the sounds and the page.

    Args:
        ends: From what to what.
        output: Folder or URI: `step-00.wav`, ..., `index.html`, `manifest.json`.
        settings: How many, how long, how made.
        local: The models.
        mapped_by: For ends that are seen.
        device: `cpu`, `cuda`, ...

    Returns:
        The page's URI.

    Raises:
        ConfigError: When an end cannot be read, the output was made differently, or a sound cannot be made.
    """
    check_settings(local, settings.generator)
    made_by = manifest.open_output(output, _manifest(ends, settings, local, mapped_by))
    a_D, b_D = conditions_of(list(ends), local, mapped_by.mapper, settings, device)
    weights = np.linspace(0.0, 1.0, settings.steps)
    waveforms_NT, rate = _generate(slerp(a_D[np.newaxis], b_D[np.newaxis], weights), settings, local, device)
    tags = _tags(settings, local, mapped_by)
    steps = [
        _write_step(output, number, float(weight), waveform_T, rate, settings.finish, tags)
        for number, (weight, waveform_T) in enumerate(zip(weights, waveforms_NT, strict=True))
    ]
    page = write_page(output, ends, steps, local.name, trained=local.trained)
    files = _checksums(output, [step.file for step in steps])
    manifest.close_output(output, made_by, {"status": "done", "counts": {"sounds": len(steps)}, "files": files})
    return page


def _generate(
    conditions_ND: Floats, settings: InterpolationSettings, local: LocalBundle, device: str
) -> tuple[Floats, int]:
    """The sounds of conditions, float32 (N, T), and their rate, Hz."""
    generator = load_generator(local, settings.generator, device)
    # One noise for all: what differs from step to step is the condition alone.
    seeds = [segment_seed(settings.seed, "interpolation", "latents")] * len(conditions_ND)
    return generator.generate(conditions_ND, seeds, settings.duration_s), generator.sample_rate


def _write_step(
    output: str,
    number: int,
    weight: float,
    waveform_T: Floats,
    sample_rate: int,
    settings: FinishSettings,
    tags: Mapping[str, str],
) -> Step:
    """Level the sound of a step and write it.

    Args:
        output: Folder or URI.
        number: Which step, from 0.
        weight: How far on the way it is, 0..1.
        waveform_T: Float32 (T,), as it was generated.
        sample_rate: Its rate, Hz.
        settings: Loudness, peak, fades, format.
        tags: Metadata of the file.
    """
    name = f"step-{number:02d}.{settings.audio_format.kind}"
    try:
        finished = finish_waveform(waveform_T, sample_rate, settings)
    except MediaError as error:
        raise ConfigError(f"step {number} (weight {weight:.2f}): {error}") from None
    with storage.writing(storage.join(output, name)) as path:
        write_audio(path, finished.waveform, finished.sample_rate, settings.audio_format, tags)
    return Step(name, weight, finished.loudness_lufs)


def _checksums(output: str, sounds: list[str]) -> dict[str, str]:
    """sha256 of the sounds, the page, and what it shows of the ends."""
    names = [uri.rsplit("/", 1)[-1] for uri in storage.list_files(output)]
    written = [name for name in names if name in (*sounds, "index.html") or name.startswith(("from.", "to."))]
    return {name: sha256_of(storage.join(output, name))[0] for name in written}


def _manifest(
    ends: tuple[End, End], settings: InterpolationSettings, local: LocalBundle, mapped_by: MappedBy
) -> Manifest:
    return manifest.new(
        "interpolate",
        identity={
            "ends": [{"kind": end.kind, "given": end.given} for end in ends],
            "settings": settings.model_dump(exclude={"decoder", "storage", "output_storage", "generator"}),
            "generator": settings.generator.identity(),
            # What follows curves has no part in it.
            "models": {
                name: digest for name, digest in local.fingerprints().items() if name not in ("adapter", "predictor")
            },
            "mapper": mapped_by.fingerprint,
        },
        config=settings.model_dump(),
        bundle={"name": local.name, "trained": local.trained, "fingerprints": local.fingerprints()},
        spaces={"vision": local.vision_space, "audio": local.audio_space},
    )


def _tags(settings: InterpolationSettings, local: LocalBundle, mapped_by: MappedBy) -> dict[str, str]:
    return {
        "encoder": f"v2a {__version__}",
        "comment": f"AI-generated sound; program v2a {__version__}; models {local.name}; "
        f"mapper {mapped_by.fingerprint}; seed {settings.seed}",
    }
