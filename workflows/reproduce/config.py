"""Configuration of `v2a reproduce`."""

from __future__ import annotations

from v2a_core.catalog import CatalogSettings
from v2a_core.config import Settings, setting
from v2a_core.storage.config import StorageSettings

AUTO = "auto"
_OF_JOB = "a YAML file or a shipped name, as for its --config"


class WorldCounts(Settings):
    """How much of the miniature world there is, where no catalog is given."""

    seed: int = setting(0, "another seed is another world", ge=0)
    train: int = setting(720, "scenes that mappers learn from", ge=12)
    validation: int = setting(72, "scenes that mappers are judged by", ge=12)
    test: int = setting(96, "scenes that get sounds", ge=4)
    pictures: int = setting(48, "still pictures, in another drawing style, that get sounds; 0: none", ge=0)


class OtherBundles(Settings):
    """The other models of the paper; auto: those that belong to --models."""

    blip: str = setting(AUTO, "bundle with BLIP's image encoder (table 6)")
    small: str = setting(AUTO, "bundle with AudioLDM-s (table 7)")
    large: str = setting(AUTO, "bundle with AudioLDM-l (table 7)")


class StepConfigs(Settings):
    """The configuration of each job; auto: the paper's, or that of the miniature."""

    embed: str = setting(AUTO, f"of embed: {_OF_JOB}")
    sweep: str = setting(AUTO, "of train: a file of --sweep with the runs of paper-ablations")
    generate: str = setting(AUTO, f"of generate: {_OF_JOB}")
    evaluate: str = setting(AUTO, f"of evaluate: {_OF_JOB}; networks are named here (extractors.NAME.weights)")


class ReproduceJob(Settings):
    """Every setting of the job, beside those of the jobs that it calls."""

    seed: int = setting(0, "of the mappers' weights and of all sounds", ge=0)
    via_text: str = setting(AUTO, "what leads to sound via text: caption, label or blip; auto: blip, captions in small")
    listen_to: int = setting(24, "clips on the page of systems side by side, the worst first; 0: no page", ge=0)
    interpolated: int = setting(5, "sounds of figure 7", ge=2, le=20)
    world: WorldCounts = setting(WorldCounts, "the miniature world")
    bundles: OtherBundles = setting(OtherBundles, "the other models")
    steps: StepConfigs = setting(StepConfigs, "the jobs")
    catalog: CatalogSettings = setting(CatalogSettings, "how --catalog and --test are listed")
    pictures: CatalogSettings = setting(CatalogSettings, "how --pictures is listed")
    storage: StorageSettings = setting(StorageSettings, "how buckets are reached")
