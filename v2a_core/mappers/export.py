"""The exported mapper: `mapper.safetensors` beside `config.json`, loaded from anywhere fsspec reaches."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic
import safetensors
import safetensors.torch
import torch
from huggingface_hub import ModelHubMixin, snapshot_download
from torch import nn

from v2a_core import storage
from v2a_core.compute.seeds import segment_seed
from v2a_core.config import ConfigError
from v2a_core.mappers.aggregators import aggregate, together
from v2a_core.mappers.assemble import build
from v2a_core.mappers.base import MapperModel, normalize
from v2a_core.mappers.card import CARD_FILE, write_card
from v2a_core.mappers.config import MAPPER_SCHEMA_VERSION, MapperConfig, SamplingSettings
from v2a_core.mappers.frames import as_frames
from v2a_core.mappers.registries import METHODS, NETWORKS
from v2a_core.models.finite import check_finite
from v2a_core.models.unset import Described, UnsetWeights
from v2a_core.protocols import AnyFloats

WEIGHTS_FILE = "mapper.safetensors"
CONFIG_FILE = "config.json"
ROWS_AT_ONCE = 256

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class Mapper(ModelHubMixin):
    """A trained mapper, ready to map. `save_pretrained` and `push_to_hub` are huggingface_hub's.

    Attributes:
        config: Architecture, the two embedding spaces, aggregator, what it was trained on.
        fingerprint: sha256 of the weights file.
        model: The method and its network, in evaluation mode.
        device: Where it runs.
        sampling: How a diffusion mapper samples; None for its own settings.
    """

    def __init__(
        self,
        model: MapperModel,
        config: MapperConfig,
        fingerprint: str,
        device: str = "cpu",
        sampling: SamplingSettings | None = None,
    ) -> None:
        if sampling is not None:
            try:
                model.check_sampling(sampling)
            except ValueError as error:
                raise ConfigError(str(error)) from None
        self.config, self.fingerprint, self.device, self.sampling = config, fingerprint, device, sampling
        self.model = model.to(device).eval().requires_grad_(False)

    @classmethod
    def from_pretrained(  # type: ignore[override] # also takes URIs of any file system
        cls, uri: str, device: str = "cpu", *, sampling: SamplingSettings | None = None, **hub: Any
    ) -> Mapper:
        """Load a mapper's folder.

        Args:
            uri: Folder or URI with `mapper.safetensors` and `config.json`, or `owner/name` on the hub when there is no
                such folder.
            device: `cpu`, `cuda`, ...
            sampling: How a diffusion mapper samples, instead of its own settings.
            **hub: For a mapper from the hub: `revision`, `token`, `cache_dir`, `local_files_only`, `force_download`.

        Raises:
            ConfigError: When a file is missing, or is not what this program reads; names what is wrong.
            DamagedWeightsError: When the weights hold NaN or infinity; names the tensor.
        """
        uri = found_folder(uri, **hub)
        config = read_config(uri)
        weights_uri = storage.join(uri, WEIGHTS_FILE)
        try:
            with storage.local_copy(weights_uri) as path:
                fingerprint = fingerprint_of(path)
                tensors = safetensors.torch.load_file(path)
        except FileNotFoundError:
            raise ConfigError(f"{uri} has a {CONFIG_FILE} but no {WEIGHTS_FILE}: the mapper is incomplete") from None
        except safetensors.SafetensorError as error:
            raise ConfigError(f"{weights_uri} is not a whole safetensors file: {error}") from None
        # First without memory: a configuration may ask for more than any machine has.
        _check_tensors(weights_uri, _described(config), tensors)
        check_finite(weights_uri, tensors)
        with UnsetWeights():
            model = build(config.mapper, config.embedding_dim, config.vision_dim)
        model.load_state_dict(tensors)
        return cls(model, config, fingerprint, device, sampling)

    def __call__(
        self,
        vision_frames: Any,
        *,
        num_samples: int = 1,
        mapper_guidance_scale: float | None = None,
        seed: int = 0,
    ) -> npt.NDArray[np.float32]:
        """Audio embeddings for one segment: several that could fit it.

        Args:
            vision_frames: CLIP embeddings of the frames, (n, 512), n >= 1: an array or a tensor of any number type on
                any device, or a list of vectors; in the space `config.vision_space`. 512 is `config.vision_dim`, that
                of CLIP ViT-B/32.
            num_samples: How many embeddings; those of a regression mapper are all alike.
            mapper_guidance_scale: Classifier-free guidance of a denoising mapper's sampling, 1 is off; None: as the
                mapper was exported.
            seed: Sample i of a seed is the same whatever `num_samples` is.

        Returns:
            Float32 (num_samples, 512), L2-normalised, in the space `config.audio_space`.

        Raises:
            ValueError: On frames of another shape, or that are not finite.
        """
        sampling = self.sampling or self.config.mapper.method.own_sampling
        if mapper_guidance_scale is not None and sampling is not None:
            sampling = sampling.model_copy(update={"mapper_guidance_scale": float(mapper_guidance_scale)})
        frames = as_frames(vision_frames, self.config.vision_dim)
        seeds = [segment_seed(seed, str(number), "sample") for number in range(num_samples)]
        return self._map([frames] * num_samples, seeds, sampling)

    def _save_pretrained(self, save_directory: Path) -> None:
        """What `save_pretrained` and `push_to_hub` write: the same files as the export."""
        weights = save_directory / WEIGHTS_FILE
        save_weights(self.model, weights)
        save_mapper(str(save_directory), weights, self.config)

    def map(self, vision_frames: Sequence[Any], seeds: Sequence[int]) -> npt.NDArray[np.float32]:
        """The audio embeddings of segments.

        Args:
            vision_frames: For each segment the CLIP embeddings of its frames, (n, 512), n >= 1, n of its own: whatever
                `mapper(...)` takes; in the space `config.vision_space`.
            seeds: For each segment a 63-bit seed.

        Returns:
            Float32 (B, 512), L2-normalised, in the space `config.audio_space`. Row i depends only on frames i and
            seed i, whatever else is in the batch.

        Raises:
            ValueError: On frames of another shape, frames that are not finite, or too few seeds.
        """
        dim = self.config.vision_dim
        frames = [as_frames(item, dim, f"segment {row}") for row, item in enumerate(vision_frames)]
        return self._map(frames, seeds, self.sampling)

    def _map(
        self, vision_frames: Sequence[AnyFloats], seeds: Sequence[int], sampling: SamplingSettings | None
    ) -> npt.NDArray[np.float32]:
        if len(vision_frames) != len(seeds):
            raise ValueError(f"{len(vision_frames)} segments need as many seeds, not {len(seeds)}")
        condition_BV = self._aggregate(vision_frames, seeds)
        mapped = [np.zeros((0, self.config.embedding_dim), np.float32)]
        for start in range(0, len(seeds), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            condition = normalize(torch.from_numpy(condition_BV[rows]).to(self.device))
            mapped.append(self.model.sample(condition, seeds[rows], sampling).cpu().numpy())
        return np.concatenate(mapped)

    def _aggregate(self, vision_frames: Sequence[AnyFloats], seeds: Sequence[int]) -> npt.NDArray[np.float32]:
        """One vector a segment, not yet L2-normalised."""
        if not vision_frames:
            return np.zeros((0, self.config.vision_dim), np.float32)
        # Another stream than the noise: which frame is seen must not depend on the first number drawn there.
        own_seeds = np.array([segment_seed(seed, "", "aggregator") for seed in seeds], np.uint64)
        condition_BV = aggregate(self.config.mapper.aggregator, *together(vision_frames), own_seeds)
        for row in np.flatnonzero(~np.isfinite(condition_BV).all(axis=1)):
            raise ValueError(f"segment {row}: frame embeddings are not finite")
        return condition_BV


def found_folder(uri: str, **hub: Any) -> str:
    """Where a mapper's files are: `uri` itself, or for an `owner/name` of the hub the folder that it is fetched to."""
    if _HUB_NAME.fullmatch(uri) and not Path(uri).exists():
        return str(snapshot_download(uri, allow_patterns=[CONFIG_FILE, WEIGHTS_FILE, CARD_FILE], **hub))
    return uri


def read_config(uri: str) -> MapperConfig:
    """The configuration of an exported mapper; reads no weights.

    Raises:
        ConfigError: When there is none, or it is of another schema, kind or network.
    """
    config_uri = storage.join(uri, CONFIG_FILE)
    try:
        values = storage.read_json(config_uri)
    except FileNotFoundError:
        raise ConfigError(f"{uri} has no {CONFIG_FILE}: it is not a mapper that `v2a train` exported") from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not isinstance(values, dict) or "mapper" not in values:
        raise ConfigError(f"{config_uri} does not describe a mapper: it has no `mapper` entry")
    _check_version(config_uri, values.get("schema_version"))
    names = {"method": METHODS.names(), "network": NETWORKS.names()}
    for part, known in names.items():
        kind = _kind(values["mapper"], part)
        if not isinstance(kind, str) or kind not in known:
            raise ConfigError(f"{config_uri}: unknown {part} {kind!r}; known: {', '.join(known)}")
    try:
        return MapperConfig.model_validate(values)
    except pydantic.ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"{config_uri} is not a mapper's configuration: {'; '.join(problems)}") from None


def save_mapper(uri: str, weights: Path, config: MapperConfig, license_name: str = "other") -> None:
    """Export a mapper and its model card. The configuration comes last: where it is, the weights are whole.

    Args:
        uri: Folder or URI.
        weights: A safetensors file of the model's state.
        config: What it is.
        license_name: For the card.
    """
    storage.write_bytes(storage.join(uri, CARD_FILE), write_card(config, license_name).encode())
    with storage.writing(storage.join(uri, WEIGHTS_FILE)) as path:
        path.write_bytes(weights.read_bytes())
    storage.write_json(storage.join(uri, CONFIG_FILE), config.model_dump())


def save_weights(model: nn.Module, path: Path) -> None:
    """The model's state as a safetensors file, float32."""
    safetensors.torch.save_file(weights_of(model), path)


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """The model's state, float32 on the CPU; not a copy where it is that already."""
    return {name: tensor.detach().float().cpu().contiguous() for name, tensor in model.state_dict().items()}


def fingerprint_of(path: Path) -> str:
    """sha256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _check_version(config_uri: str, found: object) -> None:
    if found == MAPPER_SCHEMA_VERSION:
        return
    told = f"{config_uri} has schema version {found!r}, this program reads {MAPPER_SCHEMA_VERSION}"
    if found == 1:
        told += (
            ": an earlier version exported this mapper. Train it again with `v2a train`; or keep its weights, and in "
            "this file rename mapper.method.sampling.guidance_scale, if it is there, to mapper_guidance_scale, and set "
            "schema_version to 2"
        )
    raise ConfigError(told)


def _kind(mapper: Any, part: str) -> Any:
    value = mapper.get(part) if isinstance(mapper, dict) else None
    return value.get("kind") if isinstance(value, dict) else value


def _described(config: MapperConfig) -> dict[str, torch.Tensor]:
    """The tensors of the mapper that a configuration describes, without their content."""
    with Described():
        return build(config.mapper, config.embedding_dim, config.vision_dim).state_dict()


def _check_tensors(uri: str, expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    problems = [f"missing: {_some(expected.keys() - found.keys())}"] if expected.keys() - found.keys() else []
    if found.keys() - expected.keys():
        problems.append(f"unknown: {_some(found.keys() - expected.keys())}")
    problems += [
        f"{name} is {tuple(found[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ][:5]
    problems += [
        f"{name} holds {str(tensor.dtype).removeprefix('torch.')}, not floating-point numbers"
        for name, tensor in found.items()
        if not tensor.is_floating_point()
    ][:5]
    if problems:
        raise ConfigError(f"{uri} does not fit its {CONFIG_FILE}: {'; '.join(problems)}")


def _some(names: set[str]) -> str:
    shown = sorted(names)[:5]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
