"""The kinds of components that bundles bring weights for, by name.

They are declared here, below the components themselves, so that a bundle can ask one what its folder holds; the module
behind a name is imported when it is asked. Other packages name theirs in an entry point of the group.
"""

from __future__ import annotations

from v2a_core.protocols import GeneratorKind
from v2a_core.registry import Registry

GENERATORS: Registry[GeneratorKind] = Registry(
    "generator", "v2a.generators", {"audioldm": "v2a_core.generators.audioldm.checkpoint"}
)
