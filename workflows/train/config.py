"""Configuration of `v2a train`."""

from __future__ import annotations

from v2a_core.config import setting
from v2a_core.mappers.config import MapperSettings
from v2a_core.training.config import DataSettings, TrainingSettings
from workflows.training.config import TrainingJob


class TrainJob(TrainingJob):
    """Every setting of the job."""

    mapper: MapperSettings = setting(MapperSettings, "what is trained")
    data: DataSettings = setting(DataSettings, "which rows")
    training: TrainingSettings = setting(TrainingSettings, "how")
    license: str = setting("other", "licence of the exported mapper, for its model card; yours to choose")
