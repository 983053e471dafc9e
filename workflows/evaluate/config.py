"""Configuration of `v2a evaluate`."""

from __future__ import annotations

from v2a_core.config import Settings, setting
from v2a_core.encoders.config import EncoderSettings
from v2a_core.media.config import GuardSettings
from v2a_core.metrics.config import EACH_EXTRACTOR, EACH_METRIC, AllExtractorSettings, AllMetricSettings
from v2a_core.metrics.hearing_protocols import ProtocolName
from v2a_core.metrics.systems.base import SetSettings
from v2a_core.outputs.parts import PartSettings
from v2a_core.storage.config import StorageSettings, output_storage
from workflows.cluster_runtime.config import PoolSettings
from workflows.streaming.config import LimitSettings


class EvaluateJob(Settings):
    """Every setting of the job."""

    judge: str | None = setting(None, "folder or URI of a judge of sounds; none: the bundle's own, if it has one")
    originals: bool = setting(True, "compare with the original sound of each source, where it has one")
    protocol: ProtocolName = setting(
        "paper", "what is heard of a sound: `paper`: 10 s, the first channel; `av-benchmark`: 8 s, the channels' mean"
    )
    allow_unfinished: bool = setting(False, "evaluate soundtracks whose job has not finished")
    decoder: GuardSettings = setting(GuardSettings, "limits of the decoder process of the originals")
    encoders: EncoderSettings = setting(EncoderSettings, "how CLAP runs")
    extractors: AllExtractorSettings = setting(EACH_EXTRACTOR, "what is found out about each sound")
    metrics: AllMetricSettings = setting(EACH_METRIC, "intervals and tolerances")
    sets: SetSettings = setting(SetSettings, "metrics of whole sets, over what published networks hear")
    storage: StorageSettings = setting(StorageSettings, "how buckets are reached")
    output_storage: StorageSettings | None = output_storage()
    output: PartSettings = setting(PartSettings, "when rows become a file")
    limits: LimitSettings = setting(LimitSettings, "when to give up")
    pools: PoolSettings = setting(PoolSettings, "how many workers each stage has")
