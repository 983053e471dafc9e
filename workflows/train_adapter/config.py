"""Configuration of `v2a train-adapter`."""

from __future__ import annotations

from v2a_core.config import setting
from v2a_core.encoders.config import EncoderSettings
from v2a_core.media.config import FrameSettings
from v2a_core.training.adapter_config import AdapterNetworkSettings, AdapterTraining, LessonSettings
from v2a_core.training.config import SplitSettings
from workflows.streaming.config import ListedJobSettings
from workflows.training.config import TrainingJob

# Nobody looks at the pictures of videos: one in twenty seconds proves that there is a video.
_HARDLY_SEEN = FrameSettings(frames_per_second=0.05)


class AdapterJob(ListedJobSettings, TrainingJob):
    """Every setting of the job."""

    encoders: EncoderSettings = setting(EncoderSettings, "how CLAP hears the sounds")
    adapter: AdapterNetworkSettings = setting(AdapterNetworkSettings, "how large the adapter is")
    lessons: LessonSettings = setting(LessonSettings, "what is asked of the generator with a curve")
    data: SplitSettings = setting(SplitSettings, "which sounds")
    training: AdapterTraining = setting(AdapterTraining, "how")

    @property
    def sampled(self) -> FrameSettings:
        """Hardly any."""
        return _HARDLY_SEEN
