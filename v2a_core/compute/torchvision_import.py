"""Makes `import torchvision` work, and quick: open_clip, diffusers and transformers all import it."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import torch

from v2a_core.compute.on_demand import on_demand

_declared: list[torch.library.Library] = []  # a Library takes its declarations back when it is collected


def prepare_torchvision() -> None:
    """Import torchvision, if it is installed. Call before the first import of open_clip, diffusers or transformers.

    It gives Python versions to two operators that only its compiled half declares, and fails with "operator
    torchvision::nms does not exist" when that half cannot be loaded (a CUDA wheel beside CPU torch). Declaring their
    schemas is enough for the transforms, which are all that is used of it here.
    """
    spec = None if "torchvision" in sys.modules else importlib.util.find_spec("torchvision")
    if spec is None:
        return
    if not _declared and not hasattr(torch.ops.torchvision, "nms") and not _load_compiled_half(spec):
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
    # One function of an operator for boxes is all that it imports of torch's compiler, which brings sympy and eight
    # hundred modules more: more than a second of each process (`benchmarks/start_up.py`).
    with on_demand("torch._dynamo.utils", frozenset({"is_compile_supported"})):
        importlib.import_module("torchvision")


def _load_compiled_half(spec: ModuleSpec) -> bool:
    for compiled in (file for folder in spec.submodule_search_locations or () for file in Path(folder).glob("_C*.so")):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue  # built for another torch, or for a GPU runtime that is not here
        return True
    return False
