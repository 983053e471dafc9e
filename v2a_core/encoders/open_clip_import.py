"""open_clip's models without the packages that it loads for models of others.

`import open_clip` loads transformers and timm, for text towers and image towers that CLIP's own models have none of:
seconds of each process that sees (`benchmarks/start_up.py` measures them). Here its folder is a package of another
name, in which both are not installed: whoever imports open_clip itself, in the same process, gets all of it.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from v2a_core.compute.torchvision_import import prepare_torchvision

logger = logging.getLogger(__name__)

_NAME = "_v2a_open_clip"
_OTHERS = ("timm", "transformers")


def open_clip_models(vision: Mapping[str, Any]) -> Any:
    """What open_clip builds models with: its module `model`, with the class `CLIP`.

    Args:
        vision: open_clip's `vision_cfg` of the model, which says whether timm makes its image tower.
    """
    prepare_torchvision()
    if "timm_model_name" in vision or "open_clip" in sys.modules:
        return importlib.import_module("open_clip.model")
    try:
        return _apart()
    except (ImportError, AttributeError, NameError, TypeError) as error:
        # An open_clip that needs them, or whose files are others, works as it does for everybody, and takes its time.
        logger.warning("open_clip is loaded whole: without timm and transformers it does not load (%s)", error)
        return importlib.import_module("open_clip.model")


def _apart() -> Any:
    if f"{_NAME}.model" in sys.modules:
        return sys.modules[f"{_NAME}.model"]
    found = importlib.util.find_spec("open_clip")
    if found is None:
        raise ImportError("open_clip is not installed")
    package = types.ModuleType(_NAME)
    package.__path__ = list(found.submodule_search_locations or ())
    sys.modules[_NAME] = package
    try:
        with _not_installed(_OTHERS):
            models = importlib.import_module(f"{_NAME}.model")
        if not hasattr(models, "CLIP"):
            raise ImportError("its module `model` has no CLIP")
        return models
    except BaseException:
        for name in [name for name in sys.modules if name.partition(".")[0] == _NAME]:
            del sys.modules[name]
        raise


@contextmanager
def _not_installed(packages: tuple[str, ...]) -> Iterator[None]:
    """An import of a package that is not loaded yet fails in the block, as it does where it is not installed."""
    left_out = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(left_out))  # type: ignore[arg-type] # typeshed knows modules only
    try:
        yield
    finally:
        for name in left_out:
            sys.modules.pop(name, None)
