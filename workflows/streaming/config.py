"""When a streaming job that is going wrong stops."""

from __future__ import annotations

from v2a_core.config import Settings, setting


class LimitSettings(Settings):
    """When a run that is going wrong stops."""

    max_reject_share: float = setting(
        0.2, "stop when more of the sources than this are rejected", flag="--max-reject-share", ge=0, le=1
    )
    reject_grace: int = setting(50, "sources that are tried before the share counts", unit="sources", ge=0)
    stalled_s: float = setting(1800.0, "stop when no stage has moved for so long (0: wait for ever)", unit="s", ge=0)
