"""What soundtracks follow in time: a curve that was given, or those predicted from the pictures; and the adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pydantic

from v2a_core import storage
from v2a_core.config import ConfigError, Settings, setting
from v2a_core.generators.adapters import check_adapter, find_adapter
from v2a_core.media.config import FrameSettings
from v2a_core.models import LocalBundle
from v2a_core.protocols import JSON, Curve
from v2a_core.registry import NameOf, OneOf
from v2a_core.timing.files import read_curve, read_envelope
from v2a_core.timing.predictors import CURVE_PREDICTORS
from v2a_core.timing.predictors.config import PredictorSettings

OFF = "off"
_TIMING = NameOf(CURVE_PREDICTORS, OFF, also=(OFF,))
_PREDICTOR = OneOf(CURVE_PREDICTORS, "gru")


class TimingSettings(Settings):
    """Whether sounds keep time with the picture, and what says when it sounds."""

    timing: Annotated[str, _TIMING] = setting(
        _TIMING,
        "what predicts from the pictures when and how loud it sounds: gru, a small trained network; motion, without "
        "training; off: nothing",
        flag="--timing",
    )
    predictor: Annotated[PredictorSettings, _PREDICTOR] = setting(_PREDICTOR, "how the predictor of --timing predicts")

    @pydantic.model_validator(mode="before")
    @classmethod
    def _name_predictor(cls, values: Any) -> Any:
        """`--timing NAME` says whose settings `predictor` are; in YAML, `off` is a way to write false."""
        if isinstance(values, dict) and values.get("timing") is False:
            return {**values, "timing": OFF}
        if not isinstance(values, dict) or values.get("timing") not in CURVE_PREDICTORS.names():
            return values
        told = values.get("predictor", {})
        return {**values, "predictor": {"kind": values["timing"], **told} if isinstance(told, dict) else told}

    @pydantic.model_validator(mode="after")
    def _one_predictor(self) -> TimingSettings:
        if self.timing not in (OFF, self.predictor.kind):
            raise ValueError(f"timing is {self.timing!r}, and predictor.kind {self.predictor.kind!r}: leave that out")
        return self


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
        """Whether no curve was given."""
        return self.curve is None and self.reference_audio is None

    def check(self, timing: str = OFF) -> None:
        """Refuse what contradicts itself, before anything loads.

        Args:
            timing: What predicts curves, if anything.

        Raises:
            ConfigError: Naming the options.
        """
        if self.curve is not None and self.reference_audio is not None:
            raise ConfigError(
                f"--curve {self.curve} and --reference-audio {self.reference_audio} are two curves: give one of them"
            )
        if not self.is_nothing and timing != OFF:
            raise ConfigError(
                f"--timing {timing} predicts a curve, and {self.curve or self.reference_audio} is another: say "
                "--no-timing to follow that one"
            )
        if self.is_nothing and timing == OFF and self.adapter is not None:
            raise ConfigError(
                f"--adapter {self.adapter} has nothing to follow: give --curve FILE or --reference-audio FILE, too, or "
                "--timing"
            )

    def canonical(self) -> ToFollow:
        """With absolute paths: workers do not stand where the command was given."""
        return ToFollow(*(_absolute(place) for place in (self.curve, self.reference_audio, self.adapter)))


@dataclass(frozen=True)
class Following:
    """What is followed, found to fit the models.

    Attributes:
        curve: What all sounds keep to; None: each keeps to its own, which is predicted.
        adapter: Folder or URI of the adapter; None: the bundle's own.
        fingerprint: Sha256 of the adapter.
        predictor: What predicts the curves; None for a curve that was given.
        rate: Frames a second that it looks at.
        predicts: What the predicted curves depend on, for manifests.
    """

    curve: Curve | None
    adapter: str | None
    fingerprint: str
    predictor: PredictorSettings | None = None
    rate: float = 0.0
    predicts: Mapping[str, JSON] = field(default_factory=dict)

    def frames(self, frames: FrameSettings) -> FrameSettings:
        """Which frames are decoded: the denser ones, too, where curves are predicted from them."""
        return frames.model_copy(update={"timing_fps": self.rate})


def choose(asked: ToFollow, local: LocalBundle, settings: TimingSettings) -> Following | None:
    """What is followed, after `ToFollow.check`; None where nothing is.

    Raises:
        ConfigError: For a file that is no curve, a bundle without an adapter or predictor, or those of another bundle.
        ModelError: For an adapter or predictor that cannot be had, or is damaged.
    """
    if asked.is_nothing and settings.timing == OFF:
        return None
    adapter = find_adapter(asked.adapter, local)
    if adapter is None:
        raise ConfigError(
            f"the bundle {local.name!r} has no adapter, without which its generator follows no curve: give --adapter "
            "FOLDER, an adapter that was trained with this generator, or leave --curve, --reference-audio and --timing "
            "out"
        )
    check_adapter(adapter, local)
    if asked.is_nothing:
        predictor = settings.predictor.canonical()
        predictor.check(local)
        rate, predicts = predictor.rate(local), predictor.identity(local)
        return Following(None, asked.adapter, adapter.fingerprint, predictor, rate, predicts)
    if asked.reference_audio is not None:
        curve = read_envelope(asked.reference_audio)
    else:
        assert asked.curve is not None
        curve = read_curve(asked.curve)
    return Following(curve, asked.adapter, adapter.fingerprint)


def _absolute(place: str | None) -> str | None:
    return storage.canonical(place) if place is not None and Path(place).exists() else place
