"""From one thing to another through sound: the paper's figure 7.

Its two ends, the way between them and its page. Encoders, mappers and generators are taken as they are.
"""

from __future__ import annotations
