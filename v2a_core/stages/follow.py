"""What a soundtrack follows in time: a curve, and the adapter that makes the generator follow it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.generators.adapters import check_adapter, find_adapter
from v2a_core.models import LocalBundle
from v2a_core.protocols import Curve
from v2a_core.timing.files import read_curve, read_envelope


@dataclass(frozen=True)
class ToFollow:
    """What somebody asked to be followed; nothing by default.

    Attributes:
        curve: File or URI of a table or a sound.
        reference_audio: The same, of a sound alone.
        adapter: Folder or URI of an adapter; None: the bundle's own.
    """

    curve: str | None = None
    reference_audio: str | None = None
    adapter: str | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to follow."""
        return self.curve is None and self.reference_audio is None

    def check(self) -> None:
        """Refuse what contradicts itself, before anything loads.

        Raises:
            ConfigError: Naming the options.
        """
        if self.curve is not None and self.reference_audio is not None:
            raise ConfigError(
                f"--curve {self.curve} and --reference-audio {self.reference_audio} are two curves: give one of them"
            )
        if self.is_nothing and self.adapter is not None:
            raise ConfigError(
                f"--adapter {self.adapter} has nothing to follow: give --curve FILE or --reference-audio FILE, too"
            )

    def canonical(self) -> ToFollow:
        """With absolute paths: workers do not stand where the command was given."""
        return ToFollow(*(_absolute(place) for place in (self.curve, self.reference_audio, self.adapter)))


@dataclass(frozen=True)
class Following:
    """What is followed, found to fit the models.

    Attributes:
        curve: What the sound keeps to.
        adapter: Folder or URI of the adapter; None: the bundle's own.
        fingerprint: Sha256 of the adapter.
    """

    curve: Curve
    adapter: str | None
    fingerprint: str


def choose(asked: ToFollow, local: LocalBundle) -> Following | None:
    """What is followed, after `ToFollow.check`; None where nothing is.

    Raises:
        ConfigError: For a file that is no curve, a bundle without an adapter, or an adapter of another generator.
        ModelError: For an adapter that cannot be had, or is damaged.
    """
    if asked.is_nothing:
        return None
    adapter = find_adapter(asked.adapter, local)
    if adapter is None:
        raise ConfigError(
            f"the bundle {local.name!r} has no adapter, without which its generator follows no curve: give --adapter "
            "FOLDER, an adapter that was trained with this generator, or leave --curve and --reference-audio out"
        )
    check_adapter(adapter, local)
    if asked.reference_audio is not None:
        curve = read_envelope(asked.reference_audio)
    else:
        assert asked.curve is not None
        curve = read_curve(asked.curve)
    return Following(curve, asked.adapter, adapter.fingerprint)


def _absolute(place: str | None) -> str | None:
    return storage.canonical(place) if place is not None and Path(place).exists() else place
