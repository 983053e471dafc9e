"""Configuration of the worker pools."""

from __future__ import annotations

from typing import Literal

from v2a_core.config import Settings, setting


class PoolSettings(Settings):
    """Workers of each stage. Zero chooses by the cluster's CPUs and GPUs."""

    decode_cpus: float = setting(
        0.0, "CPUs reserved by a decode task (0: 1, or a fifth of a machine below four CPUs)", unit="CPU", ge=0
    )
    decode_tasks: int = setting(0, "decode tasks at once at most (0: as many as CPUs allow)", ge=0)
    device: Literal["auto", "gpu"] = setting("auto", "auto: GPUs where there are some; gpu: refuse a cluster without")
    model_actors: int = setting(0, "actors of each model stage (0: one a GPU, or one a machine's worth of CPUs)", ge=0)
    most_actors: int = setting(
        0, "actors of each model stage at most: more than fit at the start, as the cluster grows (0: no more)", ge=0
    )
    share: float = setting(1.0, "part of the cluster that this job takes: 0.5 leaves room for another one", gt=0, le=1)
    segments_per_batch: int = setting(
        0, "segments in a model stage's batch (0: 32 where there are GPUs, else 16)", ge=0, le=4096
    )
    soundtracks_per_batch: int = setting(
        0, "sources in a batch of the generator stage (0: 32 where there are GPUs, else 8)", ge=0, le=4096
    )
    sources_per_block: int = setting(
        0,
        "sources of a decode task (0: about 4, by their bytes, their number and how many tasks run at once)",
        ge=0,
        le=1024,
    )
