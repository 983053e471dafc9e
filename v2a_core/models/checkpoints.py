"""Weight files: read without running anything that is in them, brought to one layout of keys.

Torch is imported inside the functions: the command line reads bundles without it.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v2a_core.models.errors import ModelError
from v2a_core.models.finite import check_finite, first_not_finite
from v2a_core.models.parts import read_json

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

# How diffusers and transformers name the weights of a folder.
_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
# What is chosen of a folder where several lie side by side: safetensors before pickles, whole before half precision.
_ENDINGS = (
    ".safetensors",
    ".safetensors.index.json",
    ".fp16.safetensors",
    ".safetensors.index.fp16.json",
    ".bin",
    ".bin.index.json",
    ".fp16.bin",
    ".bin.index.fp16.json",
)
# What torch's reader raises for bytes that are not a checkpoint.
_DAMAGE = (
    RuntimeError,
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)


def load_tensors(path: Path) -> Tensors:
    """The tensors of a weight file (safetensors, or a torch pickle read with `weights_only=True`), or of its shards.

    `state_dict`/`model` wrappers and `module.` prefixes are removed, what is not a tensor is left out. Their numbers
    stay in the file until they are used, except in pickles of before torch 1.6.

    Args:
        path: The file, or the `.index.json` that names the shards beside it.

    Raises:
        ModelError: When the file needs code to be run to be read, is damaged, or holds no tensors.
    """
    if path.suffix == ".json":
        return {name: tensor for shard in shards(path) for name, tensor in load_tensors(shard).items()}
    if path.suffix == ".safetensors":
        content: Any = _load_safetensors(path)
    else:
        content = _load_pickle(path)
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    tensors = _tensors(content)
    if not tensors:
        raise ModelError(f"{path} holds no tensors: a checkpoint is a mapping of names to tensors")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def first_not_finite_in(path: Path) -> str:
    """The name of the first tensor of a file that holds NaN or infinity; empty without one, or for no weight file."""
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        try:
            return first_not_finite(load_tensors(path).items()) or ""
        except ModelError:
            return ""  # whoever loads it says what is wrong
    try:
        # One tensor at a time: a generator has gigabytes.
        with safe_open(path, framework="pt") as file:
            return first_not_finite((name, file.get_tensor(name)) for name in file.keys()) or ""  # noqa: SIM118 (no dict)
    except (SafetensorError, OSError):
        return ""


def part_weights(folder: Path) -> Path:
    """The weights of a folder in diffusers' or transformers' layout: a file, or the index of its shards.

    Raises:
        ModelError: When there are none.
    """
    for ending in _ENDINGS:
        for stem in _STEMS:
            if (path := folder / f"{stem}{ending}").is_file():
                return path
    others = ", ".join(sorted(file.name for file in folder.glob("*") if file.is_file())) or "nothing"
    raise ModelError(
        f"{folder} holds no weights (found {others}): wanted is {_STEMS[0]}.safetensors or .bin, or model.safetensors "
        "or pytorch_model.bin, whole or in shards with their index"
    )


def weight_files(folder: Path) -> list[Path]:
    """All files of the weights of a folder in diffusers' or transformers' layout."""
    path = part_weights(folder)
    return [path, *shards(path)] if path.suffix == ".json" else [path]


def shards(index: Path) -> list[Path]:
    """The files that an index of shards names, which lie beside it.

    Raises:
        ModelError: When it is no index, or a file is missing.
    """
    named = read_json(index).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise ModelError(f"{index} names no shards: an index of weights has a weight_map")
    files = [index.with_name(Path(str(name)).name) for name in sorted(set(named.values()))]
    lacking = [file.name for file in files if not file.is_file()]
    if lacking:
        raise ModelError(f"{index} names {', '.join(lacking)}, which is not beside it: get the model again")
    return files


def load_exactly(
    module: torch.nn.Module,
    tensors: Tensors,
    source: Path,
    *,
    may_lack: tuple[str, ...] = (),
    dtype: torch.dtype | None = None,
) -> None:
    """Give a module its weights; every name and shape must fit.

    Args:
        module: The module, on any device, also "meta".
        tensors: Names within the module -> tensors.
        source: Where they come from, for messages.
        may_lack: Beginnings or parts of names that the checkpoint need not have (what can be computed, or is unused).
        dtype: Number format of the module; float32 when None.

    Raises:
        ModelError: Naming what is missing, unexpected or of another shape.
    """
    import torch

    check_fit(module, tensors, source, may_lack=may_lack)
    check_finite(str(source), tensors)
    converted = {
        name: tensor.to(dtype or torch.float32, copy=True) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    module.load_state_dict(converted, strict=False, assign=True)
    module.requires_grad_(False)


def check_fit(module: torch.nn.Module, tensors: Tensors, source: Path, *, may_lack: tuple[str, ...] = ()) -> None:
    """Compare names and shapes alone; see `load_exactly`.

    Raises:
        ModelError: Naming what is missing, unexpected or of another shape.
    """
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in tensors and not any(part in name for part in may_lack)]
    unexpected = [name for name in tensors if name not in wanted]
    shapes = [
        f"{name} is {tuple(tensor.shape)}, wanted {tuple(wanted[name].shape)}"
        for name, tensor in tensors.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    problems = [
        f"{what}: {', '.join(names[:6])}{f' and {len(names) - 6} more' if len(names) > 6 else ''}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if names
    ]
    if problems:
        raise ModelError(f"{source} does not fit the model's architecture; {'; '.join(problems)}")


def _load_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise ModelError(f"{path} is not a valid safetensors file: {error}") from None


def _load_pickle(path: Path) -> Any:
    import numpy
    import torch

    # laion's checkpoints hold their scores as numpy scalars beside the weights: plain numbers, no code.
    dtypes: list[Any] = [getattr(numpy.dtypes, name) for name in ("Float64DType", "Float32DType", "Int64DType")]
    scalar = numpy.core.multiarray.scalar  # type: ignore[attr-defined]
    numbers: list[Any] = [scalar, (scalar, "numpy.core.multiarray.scalar"), numpy.dtype, *dtypes]
    archive = zipfile.is_zipfile(path)
    if archive and _is_torchscript(path):
        raise ModelError(
            f"{path} is a TorchScript archive (as OpenAI published CLIP): reading it would run its code. Use the same "
            "weights as safetensors, for example the hub's timm/vit_base_patch32_clip_224.openai"
        )
    try:
        with torch.serialization.safe_globals(numbers):
            # mmap: of AudioLDM's two gigabytes only the CLAP part is read.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split("WeightsUnpickler error:")[-1].split())[:300]
        raise ModelError(
            f"{path} cannot be read as plain weights: {reason}\nA checkpoint that needs more than tensors could run "
            'any code, so it is refused. If you trust its source, convert it once: python -c "import torch, sys; '
            "from safetensors.torch import save_file; c = torch.load(sys.argv[1], map_location='cpu', "
            "weights_only=False); c = c.get('state_dict', c); save_file({k: v.contiguous().clone() for k, v in "
            'c.items() if torch.is_tensor(v)}, sys.argv[2])" IN.pt OUT.safetensors'
        ) from None
    except _DAMAGE as error:
        raise ModelError(f"{path} is not a readable checkpoint (cut off or damaged?): {error}") from None


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return False  # damaged: the reader says how


def _tensors(content: object) -> Tensors:
    import torch

    if not isinstance(content, Mapping):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
