"""Makes `import torchvision` work, and quick: open_clip, diffusers and transformers all import it."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

logger = logging.getLogger(__name__)

_declared: list[torch.library.Library] = []  # a Library takes its declarations back when it is collected
_COMPILER = "torch._dynamo.utils"
_CALLED_LATER = frozenset({"is_compile_supported"})  # all that the torchvision of constraints.txt asks for


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
    with _compiler_on_demand():
        importlib.import_module("torchvision")


def _load_compiled_half(spec: ModuleSpec) -> bool:
    for compiled in (file for folder in spec.submodule_search_locations or () for file in Path(folder).glob("_C*.so")):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue  # built for another torch, or for a GPU runtime that is not here
        return True
    return False


@contextlib.contextmanager
def _compiler_on_demand() -> Iterator[None]:
    """What torchvision imports of torch's compiler is loaded when it is called.

    It is one function of an operator for boxes, and brings sympy and eight hundred modules more: more than a second of
    each process (`benchmarks/start_up.py`). For anything else that is asked for, the compiler is loaded at once.
    """
    if _COMPILER in sys.modules:
        yield
        return
    stand_in: Any = ModuleType(_COMPILER)
    stand_in.__getattr__ = _on_demand
    sys.modules[_COMPILER] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(_COMPILER) is stand_in:
            del sys.modules[_COMPILER]


def _on_demand(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name not in _CALLED_LATER:
        logger.warning("torchvision asks torch's compiler for %s: it is loaded, which takes more than a second", name)
        sys.modules.pop(_COMPILER)
        return getattr(importlib.import_module(_COMPILER), name)

    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(importlib.import_module(_COMPILER), name)(*arguments, **named)

    return call
