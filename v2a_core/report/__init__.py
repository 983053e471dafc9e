"""A page to listen to: what a demo run made, beside what it was made from."""

from v2a_core.report.page import write_demo_page
from v2a_core.report.types import (
    BundleReport,
    DemoEntry,
    DemoReport,
    JobReport,
    MetricReport,
    ModelReport,
    RejectReport,
    Verdict,
)

__all__ = [
    "BundleReport",
    "DemoEntry",
    "DemoReport",
    "JobReport",
    "MetricReport",
    "ModelReport",
    "RejectReport",
    "Verdict",
    "write_demo_page",
]
