"""Small trained parts that lie beside a bundle's models: one weight file, and a description that names its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pydantic

from v2a_core import storage
from v2a_core.models import digests
from v2a_core.models.errors import ModelError

if TYPE_CHECKING:
    import torch

CONFIG_FILE = "config.json"


class Described(Protocol):
    """What a description says of every such part."""

    @property
    def sha256(self) -> str:
        """Of the weight file."""


ConfigT = TypeVar("ConfigT", bound=pydantic.BaseModel)


def read_description(
    values: Mapping[str, Any], model: type[ConfigT], version: int, folder: Path, whose: str
) -> ConfigT:
    """A description, out of what its file holds.

    Args:
        values: Of the file.
        model: What it must be.
        version: The schema version that this program reads.
        folder: Where it lies.
        whose: `an adapter's`, ...

    Raises:
        ModelError: When it is of another version, or not what it must be.
    """
    if values.get("schema_version") != version:
        raise ModelError(
            f"{folder}/{CONFIG_FILE} has schema version {values.get('schema_version')!r}, this program reads {version}"
        )
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ModelError(f"{folder}/{CONFIG_FILE} is not {whose}: {'; '.join(problems)}") from None


def check_digest(weights: Path, config: Described, what: str) -> None:
    """Refuse weights that are not those of their description.

    Raises:
        ModelError: With both digests.
    """
    found = digests.sha256(weights)
    if config.sha256 != found:
        raise ModelError(
            f"{weights} is damaged or was changed: its sha256 is {found}, its {CONFIG_FILE} says {config.sha256}: "
            f"get the {what} again"
        )


def save_described(folder: str, file: str, tensors: Mapping[str, torch.Tensor], config: pydantic.BaseModel) -> None:
    """Write weights and description; the description comes last: where it is, the weights are whole.

    Args:
        folder: Folder or URI.
        file: Name of the weight file.
        tensors: The weights.
        config: What they are; the digest is filled in here.
    """
    import safetensors.torch

    content = safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()})
    storage.write_bytes(storage.join(folder, file), content)
    described = config.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    storage.write_json(storage.join(folder, CONFIG_FILE), described.model_dump())
