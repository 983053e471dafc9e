"""The page of systems: what several systems made for the same clips, side by side, with what was measured of it.

It reads a comparison of `v2a evaluate --system` and draws it. What is measured belongs to `metrics`.
"""

from v2a_core.report.systems.page import write_systems_page
from v2a_core.report.systems.reading import is_comparison, read_systems
from v2a_core.report.systems.types import Bar, Chart, Clip, ClipMetric, Sound, SystemsReport

__all__ = [
    "Bar",
    "Chart",
    "Clip",
    "ClipMetric",
    "Sound",
    "SystemsReport",
    "is_comparison",
    "read_systems",
    "write_systems_page",
]
