"""Captioners: from a frame to a sentence, for the systems that go from vision to sound through text.

Here belongs one file for each, with its settings. Texts that the catalog has are no captioner's, and what makes
conditions of texts is the generator's text encoder.

Another package adds one with an entry point in the group `v2a.captioners`, whose module ends with
`CAPTIONERS.add("its-name", ItsCaptioner, ItsSettings)` and loads no torch when it is imported.
"""

from __future__ import annotations

from collections.abc import Callable

from v2a_core.captioners.config import CaptionerSettings
from v2a_core.protocols import Captioner
from v2a_core.registry import Registry

# A component is called with its settings and the device.
CAPTIONERS: Registry[Callable[..., Captioner]] = Registry(
    "captioner", "v2a.captioners", {"blip": "v2a_core.captioners.blip"}
)


def build(settings: CaptionerSettings, device: str = "cpu") -> Captioner:
    """The captioner that settings are of.

    Args:
        settings: Which weights, and how to caption.
        device: `cpu`, `cuda`, ...

    Raises:
        ModelError: When the weights cannot be had, or are of another model.
    """
    return CAPTIONERS[settings.kind].component(settings, device)
