"""Model bundles: which checkpoints make a system. Reading one is light: no download, no torch."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from v2a_core import config, storage
from v2a_core.config import ConfigError, Settings, setting
from v2a_core.media.types import MediaSpec
from v2a_core.models import digests
from v2a_core.models.clap_config import ClapConfig, load_clap_config
from v2a_core.models.errors import ModelError
from v2a_core.models.kinds import GENERATORS
from v2a_core.registry import NameOf

BUNDLE_FILE = "bundle.yaml"
CHECKSUMS_FILE = "checksums.json"
OPEN_CLIP_CONFIG = "open_clip_config.json"
BLIP_CONFIG = "config.json"
CLIP_CONFIGS = {"clip": OPEN_CLIP_CONFIG, "blip": BLIP_CONFIG}
CLAP_CONFIG = "clap_config.json"
COMPONENTS = ("vision", "audio", "generator")

# What transformers takes when config.json does not say (BlipConfig, BlipVisionConfig).
BLIP_DIM, BLIP_IMAGE_SIZE = 256, 384

# open_clip/constants.py
_OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
_OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

_GENERATOR = NameOf(GENERATORS, "audioldm")
_SOURCE = "path, fsspec URI, hub name owner/repo[:file], or ./path inside the bundle's root"


class ClipSource(Settings):
    """Where CLIP, or what sees in its place, comes from."""

    encoder: Literal["clip", "blip"] = setting("clip", "clip: open_clip's models; blip: BLIP of transformers")
    model: str = setting(
        ..., "open_clip's name of the architecture, or any name with open_clip_config.json beside; of BLIP any name"
    )
    weights: str = setting(..., f"file, or folder with weights and their config: {_SOURCE}, or open_clip's tag")

    @pydantic.model_validator(mode="after")
    def _quick_gelu(self) -> ClipSource:
        if self.weights == "openai" and not self.model.endswith("-quickgelu"):
            raise ValueError(
                f"{self.model!r} computes plain GELU, and OpenAI's weights were trained with QuickGELU: "
                f"use '{self.model}-quickgelu'"
            )
        return self


class ClapSource(Settings):
    """Where CLAP comes from."""

    weights: str = setting(..., f"checkpoint with the audio tower: {_SOURCE}")
    config: str | None = setting(
        None, "HTSAT-tiny, HTSAT-base or a model config JSON; default: clap_config.json beside, else HTSAT-tiny"
    )


class GeneratorSource(Settings):
    """Where what makes sound comes from."""

    generator: Annotated[str, _GENERATOR] = setting(_GENERATOR, "which one it is")
    weights: str = setting(..., f"folder of its weights, for AudioLDM in diffusers' layout: {_SOURCE}")


class BundleSettings(Settings):
    """The content of a bundle file, such as `configs/models/paper.yaml`."""

    name: str = setting(..., "name of the bundle", pattern=r"^[\w.-]+$")
    trained: bool = setting(True, "whether the weights are trained; manifests and pages say when they are not")
    licence: str = setting("", "licence of the weights")
    root: str = setting(".", "what ./paths are inside of: relative to this file, package:NAME/PATH, or a URI")
    vision: ClipSource = setting(..., "vision side")
    audio: ClapSource = setting(..., "audio side")
    generator: GeneratorSource = setting(..., "generator")
    checksums: dict[str, str] = setting({}, "sha256 of files, by vision/NAME, audio/NAME, generator/PATH")


@dataclass(frozen=True)
class Bundle:
    """A bundle as it is written down, not yet on this machine.

    Attributes:
        settings: The content of its file.
        base: Folder or URI of that file.
    """

    settings: BundleSettings
    base: str

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.settings.name

    def resolve(self) -> LocalBundle:
        """The bundle on this machine: fetched where it is remote, verified where checksums are known.

        Safe in many processes at once; the second call finds everything in the cache.

        Raises:
            ModelError: When something cannot be fetched or is not what its checksum says; says what to do.
        """
        from v2a_core.models.resolve import resolve_bundle

        return resolve_bundle(self)


@dataclass(frozen=True)
class LocalBundle:
    """A bundle whose weights are files on this machine.

    Attributes:
        name: Name of the bundle.
        trained: Whether the weights are trained.
        licence: Of the weights.
        vision_encoder: Which encoder of the registry sees.
        clip_model: open_clip's name of the architecture.
        clip_path: CLIP's weights.
        clip_config: `open_clip_config.json` beside them, when there is one; BLIP's `config.json`.
        clap_path: CLAP checkpoint.
        clap_config: Its model config: a JSON file, a name such as HTSAT-base, or None for HTSAT-tiny.
        generator: Which generator of the registry makes sound.
        generator_path: Its folder.
    """

    name: str
    trained: bool
    licence: str
    vision_encoder: str
    clip_model: str
    clip_path: Path
    clip_config: Path | None
    clap_path: Path
    clap_config: str | None
    generator: str
    generator_path: Path
    _memory: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def media_spec(self) -> MediaSpec:
        """What the models want from the decoder, read from their own configs."""
        size = self._image_size()
        if not isinstance(size, int):
            raise ModelError(f"{self.clip_model}: only square images are supported, not image_size {size}")
        front_end = self.clap_architecture().front_end
        return MediaSpec(
            image_size=size,
            audio_sample_rate=front_end.sample_rate,
            audio_samples=front_end.clip_samples,
            audio_path_sample_rate=GENERATORS[self.generator].component.sample_rate(self.generator_path),
        )

    @property
    def vision_dim(self) -> int:
        """Numbers in a frame's embedding."""
        if self.vision_encoder == "blip":
            return int(self.blip_architecture()["image_text_hidden_size"])
        return int(self.clip_architecture()["embed_dim"])

    def blip_architecture(self) -> dict[str, Any]:
        """The `config.json` of BLIP in transformers' layout: vision_config, image_text_hidden_size, ..."""
        if self.clip_config is None:
            raise ModelError(f"there is no {BLIP_CONFIG} beside {self.clip_path}: BLIP needs its own")
        config = {"image_text_hidden_size": BLIP_DIM, **_read_json(self.clip_config)}
        if not isinstance(config.get("vision_config"), dict):
            raise ModelError(f"{self.clip_config} does not describe BLIP: it has no vision_config")
        return config

    def clip_architecture(self) -> dict[str, Any]:
        """open_clip's model config: embed_dim, quick_gelu, vision_cfg, ..."""
        builtin = _builtin_clip_config(self.clip_model)
        beside = _read_json(self.clip_config)["model_cfg"] if self.clip_config else None
        if builtin is None and beside is None:
            raise ModelError(
                f"open_clip knows no model {self.clip_model!r}, and there is no {OPEN_CLIP_CONFIG} beside "
                f"{self.clip_path}"
            )
        if builtin is not None and beside is not None:
            _compare_architectures(self.clip_model, builtin, self.clip_config, beside)
        return dict(beside or builtin or {})

    def clip_normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of the colours, 0..1, RGB."""
        preprocess = _read_json(self.clip_config).get("preprocess_cfg", {}) if self.clip_config else {}
        return tuple(preprocess.get("mean", _OPENAI_MEAN)), tuple(preprocess.get("std", _OPENAI_STD))

    def clap_architecture(self) -> ClapConfig:
        """Sizes of CLAP's audio tower."""
        return load_clap_config(self.clap_config)

    def files(self, component: str) -> dict[str, Path]:
        """The files of `vision`, `audio` or `generator`, by their name inside the component."""
        if component == "generator":
            return GENERATORS[self.generator].component.files(self.generator_path)
        if component == "vision":
            files, config_path = {self.clip_path.name: self.clip_path}, self.clip_config
            config_name = CLIP_CONFIGS[self.vision_encoder]
        else:
            files, config_name, config_path = {self.clap_path.name: self.clap_path}, CLAP_CONFIG, self._clap_json()
        return files if config_path is None else {**files, config_name: config_path}

    def fingerprints(self) -> dict[str, str]:
        """Sha256 of each component: of its file, or of the sorted names and digests of its files."""
        if not self._memory:
            self._memory.update({name: digests.fingerprint(self.files(name)) for name in COMPONENTS})
        return dict(self._memory)

    @property
    def vision_space(self) -> str:
        """Name of the vision embedding space."""
        return f"{self.clip_model}:{self.fingerprints()['vision'][:16]}"

    @property
    def audio_space(self) -> str:
        """Name of the audio embedding space."""
        return f"HTSAT-{self.clap_architecture().model_name}:{self.fingerprints()['audio'][:16]}"

    def _image_size(self) -> Any:
        if self.vision_encoder == "blip":
            return self.blip_architecture()["vision_config"].get("image_size", BLIP_IMAGE_SIZE)
        return self.clip_architecture()["vision_cfg"]["image_size"]

    def _clap_json(self) -> Path | None:
        return Path(self.clap_config) if self.clap_config and self.clap_config.endswith(".json") else None


def load_bundle(name_or_file: str, overrides: Sequence[str] = ()) -> Bundle:
    """Read a bundle: light, without a download.

    Args:
        name_or_file: A shipped name (`paper`), a YAML file, or a folder with a `bundle.yaml`; local or a URI.
        overrides: `key=value` strings, such as `generator.weights=/data/audioldm`.

    Raises:
        ConfigError: When there is no such bundle, or its content is wrong.
    """
    if "://" not in name_or_file:
        path = Path(name_or_file)
        file = path / BUNDLE_FILE if path.is_dir() else config.find(name_or_file, "models")
        return _read_bundle(file, str(file.resolve().parent), overrides)
    uri = name_or_file.rstrip("/")
    uri = uri if uri.endswith((".yaml", ".yml")) else storage.join(uri, BUNDLE_FILE)
    try:
        with storage.local_copy(uri) as local:
            return _read_bundle(local, uri.rsplit("/", 1)[0], overrides)
    except FileNotFoundError:
        raise ConfigError(f"no model bundle at {uri}: `v2a models fetch NAME --output URI` makes one") from None


def _read_bundle(file: Path, base: str, overrides: Sequence[str]) -> Bundle:
    settings = _absolute(config.load(BundleSettings, job="models", source=str(file), overrides=overrides))
    try:
        listed = storage.read_json(storage.join(base, CHECKSUMS_FILE))
    except FileNotFoundError:
        return Bundle(settings, base)
    return Bundle(settings.model_copy(update={"checksums": {**listed, **settings.checksums}}), base)


def _absolute(settings: BundleSettings) -> BundleSettings:
    """Local paths as they are seen from here: a worker stands elsewhere. Names and ./paths are not paths from here."""

    def found(weights: str) -> str:
        path = Path(weights).expanduser()
        is_path = "://" not in weights and weights != "." and not weights.startswith("./")
        return str(path.resolve()) if is_path and path.exists() else weights

    parts = {name: getattr(settings, name) for name in COMPONENTS}
    update = {name: part.model_copy(update={"weights": found(part.weights)}) for name, part in parts.items()}
    return settings.model_copy(update=update)


@functools.cache
def _builtin_clip_config(model: str) -> dict[str, Any] | None:
    """open_clip's own config of a model, without importing open_clip (and torch with it)."""
    found = importlib.util.find_spec("open_clip")
    if found is None or not found.submodule_search_locations:
        raise ModelError("the package open_clip is not installed: pip install open_clip_torch")
    path = Path(found.submodule_search_locations[0]) / "model_configs" / f"{model.replace('/', '-')}.json"
    return _read_json(path) if path.is_file() else None


def _compare_architectures(model: str, named: dict[str, Any], path: Path | None, beside: dict[str, Any]) -> None:
    """The config beside weights says how they were trained; a name that says otherwise is a mistake."""
    for key, default in (("embed_dim", None), ("quick_gelu", False), ("vision_cfg", None)):
        if named.get(key, default) != beside.get(key, default):
            raise ModelError(
                f"vision.model = {model!r} has {key} {named.get(key, default)}, but {path} beside the weights says "
                f"{beside.get(key, default)}: choose the model that the weights were trained as"
            )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = storage.read_json(str(path))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path} must hold a JSON object")
    return values
