"""A page to listen to: soundtracks, what they were made with, their scores and what was rejected.

It reads finished outputs and draws them. What is measured of a soundtrack belongs to `metrics`.
"""

from v2a_core.report.page import write_page
from v2a_core.report.soundtracks import read_report
from v2a_core.report.types import (
    BundleReport,
    JobReport,
    MetricReport,
    ModelReport,
    PageEntry,
    PageReport,
    RejectReport,
    Verdict,
)

__all__ = [
    "BundleReport",
    "JobReport",
    "MetricReport",
    "ModelReport",
    "PageEntry",
    "PageReport",
    "RejectReport",
    "Verdict",
    "read_report",
    "write_page",
]
