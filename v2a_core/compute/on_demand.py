"""A module that another one imports, and that is loaded when something of it is asked for."""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def on_demand(module: str, called_later: frozenset[str] = frozenset()) -> Iterator[None]:
    """Imports of `module` in the block take no time, if nothing has loaded it before.

    Args:
        module: What is not loaded, such as `torch._dynamo.utils`.
        called_later: Its functions that may be imported in the block all the same: they load it when they are called.
            For anything else that is asked for there, it is loaded at once, and a warning says so.
    """
    if module in sys.modules:
        yield
        return
    stand_in: Any = ModuleType(module)
    stand_in.__getattr__ = lambda name: _of(module, name, called_later)
    sys.modules[module] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(module) is stand_in:
            del sys.modules[module]


def _of(module: str, name: str, called_later: frozenset[str]) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name not in called_later:
        logger.warning("%s.%s is asked for at import: %s is loaded, which takes long", module, name, module)
        sys.modules.pop(module)
        return getattr(importlib.import_module(module), name)

    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*arguments, **named)

    return call
