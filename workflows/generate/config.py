"""Configuration of `v2a generate`."""

from __future__ import annotations

from typing import Literal

from v2a_core.captioners.config import CaptionerSettings
from v2a_core.catalog.config import CatalogSettings
from v2a_core.config import setting
from v2a_core.outputs.parts import PartSettings
from v2a_core.stages.config import SoundSettings
from v2a_core.storage.config import StorageSettings, output_storage
from workflows.cluster_runtime.config import PoolSettings
from workflows.streaming.config import LimitSettings


class GenerateJob(SoundSettings):
    """Every setting of the job."""

    catalog: CatalogSettings = setting(CatalogSettings, "what to list")
    via_text: Literal["off", "caption", "label", "blip"] = setting(
        "off",
        "conditions through text instead of a mapper: the catalog's caption or label, or BLIP's captions",
        flag="--via-text",
    )
    captioner: CaptionerSettings = setting(CaptionerSettings, "how --via-text blip captions")
    output_storage: StorageSettings | None = output_storage()
    output: PartSettings = setting(PartSettings, "when rows of the index become a file")
    limits: LimitSettings = setting(LimitSettings, "when to give up")
    pools: PoolSettings = setting(PoolSettings, "how many workers each stage has")
