"""Configuration of `v2a evaluate`."""

from __future__ import annotations

from v2a_core.config import setting
from v2a_core.encoders.config import EncoderSettings
from v2a_core.media.config import GuardSettings
from v2a_core.metrics.config import EACH_EXTRACTOR, EACH_METRIC, AllExtractorSettings, AllMetricSettings
from v2a_core.metrics.hearing_protocols import ProtocolName
from v2a_core.metrics.systems.base import SetSettings
from workflows.streaming.config import JobSettings


class EvaluateJob(JobSettings):
    """Every setting of the job."""

    originals: bool = setting(True, "compare with the original sound of each source, where it has one")
    protocol: ProtocolName = setting(
        "paper", "what is heard of a sound: `paper`: 10 s, the first channel; `av-benchmark`: 8 s, the channels' mean"
    )
    round_trip: bool = setting(
        False,
        "networks hear references also after the bundle's VAE and vocoder: the best a mapper could reach",
    )
    allow_unfinished: bool = setting(False, "evaluate soundtracks whose job has not finished")
    decoder: GuardSettings = setting(GuardSettings, "limits of the decoder process of the originals")
    encoders: EncoderSettings = setting(EncoderSettings, "how CLAP runs")
    extractors: AllExtractorSettings = setting(EACH_EXTRACTOR, "what is found out about each sound")
    metrics: AllMetricSettings = setting(EACH_METRIC, "intervals and tolerances")
    sets: SetSettings = setting(SetSettings, "metrics of whole sets, over what published networks hear")
