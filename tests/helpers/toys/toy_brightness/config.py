"""Configuration of `v2a brightness`."""

from __future__ import annotations

from v2a_core.catalog.config import CatalogSettings
from v2a_core.config import Settings, setting
from v2a_core.media.config import FrameSettings, GuardSettings, SegmentSettings
from v2a_core.outputs.parts import PartSettings
from v2a_core.storage.config import StorageSettings, output_storage
from workflows.cluster_runtime.config import PoolSettings
from workflows.streaming.config import LimitSettings


class BrightnessSettings(Settings):
    """Every setting of the job. What is not explained here, every streaming job has."""

    dark: float = setting(0.1, "segments below this are dark", flag="--dark", ge=0, le=1)
    catalog: CatalogSettings = setting(CatalogSettings, "what to list")
    segments: SegmentSettings = setting(SegmentSettings, "how sources are cut")
    frames: FrameSettings = setting(FrameSettings, "which frames are seen")
    decoder: GuardSettings = setting(GuardSettings, "limits of the decoder process")
    storage: StorageSettings = setting(StorageSettings, "how buckets are reached")
    output_storage: StorageSettings | None = output_storage()
    output: PartSettings = setting(PartSettings, "when rows become a file")
    limits: LimitSettings = setting(LimitSettings, "when to give up")
    pools: PoolSettings = setting(PoolSettings, "how many workers each stage has")
