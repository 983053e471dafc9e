"""The settings that all streaming jobs have; a job's own are added to them."""

from __future__ import annotations

from v2a_core.catalog.config import CatalogSettings
from v2a_core.config import Settings, setting
from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.outputs.parts import PartSettings
from v2a_core.storage.config import CopyJob
from workflows.cluster_runtime.config import PoolSettings


class LimitSettings(Settings):
    """When a run that is going wrong stops."""

    max_reject_share: float = setting(
        0.2, "stop when more of the sources than this are rejected", flag="--max-reject-share", ge=0, le=1
    )
    reject_grace: int = setting(50, "sources that are tried before the share counts", unit="sources", ge=0)
    stalled_s: float = setting(1800.0, "stop when no stage has moved for so long (0: wait for ever)", unit="s", ge=0)


class JobSettings(CopyJob):
    """How any streaming job reads, writes, gives up and is spread."""

    output: PartSettings = setting(PartSettings, "when rows become a file")
    limits: LimitSettings = setting(LimitSettings, "when to give up")
    pools: PoolSettings = setting(PoolSettings, "how many workers each stage has")


class ListedJobSettings(JobSettings):
    """How a job on a catalog comes to segments."""

    catalog: CatalogSettings = setting(CatalogSettings, "what to list")
    segments: SegmentSettings = setting(SegmentSettings, "how sources are cut")
    decoder: GuardSettings = setting(GuardSettings, "limits of the decoder process")

    @property
    def sampled(self) -> FrameSettings:
        """Which frames are seen; ids of sources depend on it."""
        raise NotImplementedError


class CatalogJobSettings(ListedJobSettings):
    """The same, where segments are seen."""

    frames: FrameSettings = setting(FrameSettings, "which frames are seen")

    @property
    def sampled(self) -> FrameSettings:
        """As the settings say."""
        return self.frames
