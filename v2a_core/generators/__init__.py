"""Generators: from the embedding of a sound to the sound. One file or folder each, loaded only when used.

What every generator can do is `v2a_core.protocols.Generator`. Those that bundles can name are in
`v2a_core.models.kinds.GENERATORS`. How the windows of a soundtrack are laid out, and how candidates are ranked, is here
too; what becomes of a waveform is not.
"""

from __future__ import annotations

import logging

from v2a_core.config import ConfigError
from v2a_core.generators.config import GeneratorSettings
from v2a_core.models import LocalBundle
from v2a_core.models.kinds import GENERATORS
from v2a_core.models.parts import AdapterSource, Part
from v2a_core.protocols import CurveFollower, Generator, TextEncoder

logger = logging.getLogger(__name__)


def check_settings(bundle: LocalBundle, settings: GeneratorSettings) -> None:
    """Refuse settings of another generator than the bundle's.

    Raises:
        ConfigError: Naming both.
    """
    name = bundle.generator_name
    if settings.kind != name:
        raise ConfigError(
            f"generator.kind = {settings.kind!r}, but the generator of the bundle {bundle.name!r} is "
            f"{name!r}: say --set generator.kind={name}, or choose another bundle (--models)"
        )


def tell_doubt(bundle: LocalBundle) -> None:
    """Log what nobody has measured yet about the bundle's generator; nothing where nothing is in doubt."""
    if bundle.generator.settings.doubt:
        logger.warning("the generator of the bundle %r: %s", bundle.name, bundle.generator.settings.doubt)


def load_generator(
    bundle: LocalBundle,
    settings: GeneratorSettings,
    device: str = "cpu",
    adapter: Part[AdapterSource] | None = None,
) -> Generator:
    """The generator of a bundle.

    Args:
        bundle: The models.
        settings: How it samples.
        device: `cpu`, `cuda`, `cuda:1`, ...
        adapter: What makes it follow curves, checked to be one of this generator (`adapters.check_adapter`).

    Raises:
        ConfigError: For settings of another generator, or one that follows no curves.
        ValueError: For a checkpoint that cannot be used.
    """
    check_settings(bundle, settings)
    generator = GENERATORS[bundle.generator_name].component.load(bundle.generator, settings, device)
    if adapter is not None:
        if not isinstance(generator, CurveFollower):
            raise ConfigError(f"the generator {bundle.generator_name!r} follows no curves: leave the adapter out")
        generator.use_adapter(adapter.path)
    return generator


def load_text_encoder(bundle: LocalBundle, device: str = "cpu") -> TextEncoder:
    """What turns texts into conditions of the bundle's generator; the generator itself is not loaded.

    Raises:
        ValueError: For a checkpoint without one.
    """
    return GENERATORS[bundle.generator_name].component.load_text(bundle.generator, device)
