"""A part of a bundle: what is written about it, its files on this machine, what must be known before it is loaded.

What a folder of CLIP or of CLAP holds is known by their settings alone, which the files of the encoders define. This is
what they have in common, and all that the rest of the bundle asks of them.
"""

from __future__ import annotations

import abc
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from v2a_core import storage
from v2a_core.config import Settings, setting
from v2a_core.media.types import CLAP_PATH
from v2a_core.models import digests
from v2a_core.models.errors import ModelError
from v2a_core.models.sources import Finder
from v2a_core.protocols import JSON

if TYPE_CHECKING:
    import torch

SOURCE = "path, fsspec URI, hub name owner/repo[:file], or ./path inside the bundle's root"


@dataclass(frozen=True)
class Traits:
    """What others must know about an encoder before it is loaded.

    Attributes:
        model: Name of the model; with the fingerprint of the weights it names the embedding space.
        dim: Numbers in an embedding.
    """

    model: str
    dim: int

    @property
    def space(self) -> str:
        """What of the name of the embedding space does not follow from the weights."""
        return self.model


@dataclass(frozen=True)
class VisionTraits(Traits):
    """Of what sees.

    Attributes:
        image_size: Side of the square frames that it takes, pixels.
    """

    image_size: int


@dataclass(frozen=True)
class AudioTraits(Traits):
    """Of what hears.

    Attributes:
        sample_rate: Of the waveforms that it takes, Hz.
        samples: Their length.
    """

    sample_rate: int
    samples: int

    @property
    def space(self) -> str:
        """See `Traits.space`: the same weights hear something else when sounds come to them by another path."""
        return f"{self.model}+{CLAP_PATH}"


@dataclass(frozen=True)
class Found:
    """A part on this machine.

    Attributes:
        path: Its weight file, or the folder that it is.
        files: All that belongs to it, by the name inside the part: what is fetched, verified and fingerprinted.
    """

    path: Path
    files: Mapping[str, Path]

    def json(self, name: str) -> dict[str, Any]:
        """The content of one of its files; nothing when it has none of that name.

        Raises:
            ModelError: When it is no JSON object.
        """
        return read_json(self.files[name]) if name in self.files else {}


class PartSettings(Settings):
    """What a bundle says about one of its parts."""

    # The fields that name sources, where a local path may stand.
    sources: ClassVar[tuple[str, ...]] = ("weights",)

    weights: str = setting(..., f"weight file, or folder with one, and its config.json: {SOURCE}")
    revision: str = setting("", "commit of the weights' hub repository; empty: what it holds now")

    def find(self, finder: Finder) -> Found:
        """Bring it to this machine: here a weight file, or a folder's only one, with the `config.json` beside it.

        Args:
            finder: Fetches sources, and knows what `./` stands for.

        Raises:
            ModelError: When it cannot be had.
        """
        path = finder.weight_file(
            self.weights, beside=("config.json",), prefer=("model.safetensors", "pytorch_model.bin")
        )
        return Found(path, with_beside(path, "config.json"))

    def moved(self, weights: str) -> Self:
        """The settings of a copy, whose files lie beside each other."""
        return self.model_copy(update={"weights": weights, "revision": ""})

    def check(self, found: Found) -> None:
        """Compare names and shapes of its weights with the model that they are of, in seconds; most know how.

        Raises:
            ModelError: When they do not fit, or are no weights.
        """

    def reading(self) -> dict[str, JSON]:
        """What changes the model though its files stay as they are; a part of the fingerprint. Mostly nothing."""
        return {}


ADAPTER_FILE, PREDICTOR_FILE = "adapter.safetensors", "predictor.safetensors"


class AdapterSource(PartSettings):
    """What a bundle says about the adapter of its generator, which makes sounds follow a curve in time."""

    weights: str = setting(..., f"folder of the adapter, with {ADAPTER_FILE} and config.json: {SOURCE}")

    def find(self, finder: Finder) -> Found:
        """Its weights, and the description beside them; see `PartSettings.find`."""
        path = finder.weight_file(self.weights, beside=("config.json",), prefer=(ADAPTER_FILE,))
        return Found(path, with_beside(path, "config.json"))


class PredictorSource(PartSettings):
    """What a bundle says about what predicts, from the embeddings of what sees, when and how loud it sounds."""

    weights: str = setting(..., f"folder of the predictor, with {PREDICTOR_FILE} and config.json: {SOURCE}")

    def find(self, finder: Finder) -> Found:
        """Its weights, and the description beside them; see `PartSettings.find`."""
        path = finder.weight_file(self.weights, beside=("config.json",), prefer=(PREDICTOR_FILE,))
        return Found(path, with_beside(path, "config.json"))


class EncoderSource(PartSettings, abc.ABC):
    """What a bundle says about an encoder: fields for what must be said; `traits` reads what the files say themselves.

    An encoder's own class has `encoder: Literal["its-name"] = setting("its-name", ...)`.
    """

    encoder: str

    @abc.abstractmethod
    def traits(self, found: Found) -> Traits:
        """What it is, read from its files without loading it: this runs on the command line, without torch.

        Raises:
            ModelError: When the files do not say so, or contradict the settings.
        """


class VisionSettings(EncoderSource):
    """Base of the settings of encoders that see: what a bundle says under `vision`."""

    @abc.abstractmethod
    def traits(self, found: Found) -> VisionTraits:
        """See `PartSettings.traits`."""


class AudioSettings(EncoderSource):
    """Base of the settings of encoders that hear: what a bundle says under `audio`."""

    @abc.abstractmethod
    def traits(self, found: Found) -> AudioTraits:
        """See `PartSettings.traits`."""

    def text_tower(self, path: Path) -> dict[str, torch.Tensor]:
        """The text tower of a checkpoint of this kind, or of the generator's folder of it, under the same names.

        By it one sees that encoder and generator share one space. Nothing: there is none to compare.
        """
        return {}


class GeneratorWeights(PartSettings):
    """What a bundle says about what makes sound, whichever it is."""

    sources: ClassVar[tuple[str, ...]] = ("weights", "checkpoint", "tokenizer")

    generator: str
    weights: str = setting(
        ...,
        f"folder of its weights, for AudioLDM in diffusers' layout: {SOURCE}; with a checkpoint: ema, the averaged "
        "weights that AudioLDM's authors sample with, or raw",
    )
    checkpoint: str | None = setting(
        None, f"AudioLDM's original checkpoint, of which all parts are made, in place of a folder: {SOURCE}"
    )
    tokenizer: str = setting(
        "FacebookAI/roberta-base", f"with a checkpoint, folder with RoBERTa's tokenizer.json: {SOURCE}"
    )
    head_channels: int | None = setting(
        None,
        "channels of an attention head of AudioLDM's UNet: 32 for -s and -m, 64 for -l in its authors' code; without "
        "it, what the folder's config.json says, or the authors' for a checkpoint",
        ge=1,
    )
    doubt: str = setting("", "what nobody has measured about it yet; `v2a models show` and a job's log say it")

    def moved(self, weights: str) -> Self:
        """See `PartSettings.moved`: a tokenizer lies in a folder of its own there."""
        if self.checkpoint is None:
            return super().moved(weights)
        beside = f"{weights.rpartition('/')[0]}/tokenizer"
        return self.model_copy(update={"checkpoint": weights, "tokenizer": beside})

    def check(self, found: Found) -> None:
        """Compare names and shapes of its weights with the model that they are of, in seconds; most know how.

        Raises:
            ModelError: When they do not fit, or are no weights.
        """

    def reading(self) -> dict[str, JSON]:
        """Which of a checkpoint's weights, and the layout of the heads."""
        said: dict[str, JSON] = {} if self.checkpoint is None else {"weights": self.weights}
        return said if self.head_channels is None else {**said, "head_channels": self.head_channels}


PartT_co = TypeVar("PartT_co", bound=PartSettings, covariant=True)


@dataclass(frozen=True)
class Part(Generic[PartT_co]):
    """A part of a bundle whose files are on this machine.

    Attributes:
        settings: What the bundle says about it.
        found: Its files.
    """

    settings: PartT_co
    found: Found

    @property
    def path(self) -> Path:
        """Its weight file, or the folder that it is."""
        return self.found.path

    @functools.cached_property
    def fingerprint(self) -> str:
        """Sha256 of its file, or of the sorted names and digests of its files; with `reading`, if that counts."""
        files, reading = digests.fingerprint(self.found.files), self.settings.reading()
        return (
            hashlib.sha256(f"{files} {json.dumps(reading, sort_keys=True)}".encode()).hexdigest() if reading else files
        )

    @property
    def space(self: Part[EncoderSource]) -> str:
        """Name of its embedding space: model, for sounds the path to it, and fingerprint of the weights."""
        return f"{self.settings.traits(self.found).space}:{self.fingerprint[:16]}"


def with_beside(path: Path, *names: str) -> dict[str, Path]:
    """A weight file and those of the named files that lie beside it, by name."""
    beside = {name: path.with_name(name) for name in names}
    return {path.name: path, **{name: file for name, file in beside.items() if file.is_file()}}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ModelError: When it is none.
    """
    try:
        values = storage.read_json(str(path))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path} must hold a JSON object")
    return values
