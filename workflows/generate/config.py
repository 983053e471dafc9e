"""Configuration of `v2a generate`."""

from __future__ import annotations

from typing import Annotated, Any, Self

import pydantic

from v2a_core.captioners import CAPTIONERS
from v2a_core.captioners.config import CaptionerSettings
from v2a_core.config import setting
from v2a_core.registry import NameOf, OneOf
from v2a_core.stages.config import SoundSettings
from workflows.streaming.config import CatalogJobSettings

VIA_TEXT = NameOf(CAPTIONERS, "off", also=("off", "caption", "label"))
CAPTIONER = OneOf(CAPTIONERS, "blip")


class GenerateJob(SoundSettings, CatalogJobSettings):
    """Every setting of the job."""

    via_text: Annotated[str, VIA_TEXT] = setting(
        VIA_TEXT,
        "conditions through text instead of a mapper: the catalog's caption or label, or those of a captioner",
        flag="--via-text",
    )
    captioner: Annotated[CaptionerSettings, CAPTIONER] = setting(CAPTIONER, "how the captioner of --via-text captions")

    @property
    def captions(self) -> bool:
        """Whether a captioner makes the texts."""
        return self.via_text in CAPTIONERS.names()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _name_captioner(cls, values: Any) -> Any:
        """`--via-text NAME` says whose settings `captioner` are."""
        if not isinstance(values, dict) or values.get("via_text") not in CAPTIONERS.names():
            return values
        told = values.get("captioner", {})
        return {**values, "captioner": {"kind": values["via_text"], **told} if isinstance(told, dict) else told}

    @pydantic.model_validator(mode="after")
    def _one_captioner(self) -> Self:
        if self.captions and self.captioner.kind != self.via_text:
            raise ValueError(
                f"via_text is {self.via_text!r}, and captioner.kind {self.captioner.kind!r}: leave that out"
            )
        return self
