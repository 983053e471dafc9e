"""Is an output what its manifest says, whole and undamaged? If not, what is wrong is undone and can be made anew.

It reads outputs of every job and trusts none. How outputs are written belongs to `outputs`.
"""

from v2a_core.verification.check import verify
from v2a_core.verification.reader import PartReader
from v2a_core.verification.repair import repair
from v2a_core.verification.report import Report

__all__ = ["PartReader", "Report", "repair", "verify"]
