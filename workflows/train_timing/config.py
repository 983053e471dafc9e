"""Configuration of `v2a train-timing`."""

from __future__ import annotations

from v2a_core.config import setting
from v2a_core.training.config import SplitSettings
from v2a_core.training.predictor_config import PieceSettings, PredictorNetworkSettings, PredictorTraining
from workflows.training.config import TrainingJob


class TimingJob(TrainingJob):
    """Every setting of the job."""

    predictor: PredictorNetworkSettings = setting(PredictorNetworkSettings, "how large the predictor is")
    pieces: PieceSettings = setting(PieceSettings, "what is asked about segments")
    data: SplitSettings = setting(SplitSettings, "which segments")
    training: PredictorTraining = setting(PredictorTraining, "how")
