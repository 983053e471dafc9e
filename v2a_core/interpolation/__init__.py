"""From one thing to another through sound: the paper's figure 7."""

from __future__ import annotations
