"""The error of everything about models that a person can put right."""

from __future__ import annotations

from v2a_core.config import ConfigError


class ModelError(ConfigError):
    """A model bundle that is wrong, out of reach or does not fit together; says what to do."""
