"""Makes `import torchvision` work where its compiled operators do not match torch (a CUDA wheel beside CPU torch)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_declared: list[torch.library.Library] = []  # a Library takes its declarations back when it is collected


def prepare_torchvision() -> None:
    """Call before the first import of open_clip, diffusers or transformers, all of which import torchvision.

    torchvision gives Python versions to two operators that only its compiled half declares, and fails with
    "operator torchvision::nms does not exist" when that half cannot be loaded. Declaring their schemas is enough
    for the transforms, which are all that is used of it here.
    """
    if _declared or hasattr(torch.ops.torchvision, "nms") or _load_compiled_half():
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


def _load_compiled_half() -> bool:
    spec = importlib.util.find_spec("torchvision")
    folders = spec.submodule_search_locations if spec else None
    for compiled in (file for folder in folders or () for file in Path(folder).glob("_C*.so")):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue  # built for another torch, or for a GPU runtime that is not here
        return True
    return False
