"""What all captioners are told: the base of their settings."""

from __future__ import annotations

from pathlib import Path

from v2a_core.config import Settings, setting
from v2a_core.models.digests import fingerprint, tree
from v2a_core.models.errors import ModelError
from v2a_core.models.sources import Finder
from v2a_core.protocols import JSON

_TEXT = (".json", ".txt")
_WEIGHTS = (".safetensors", ".bin")


class CaptionerSettings(Settings):
    """Base of the settings of captioners.

    A class of its own has `kind: Literal["its-name"] = setting("its-name", ...)`, and what decides its captions.
    """

    kind: str
    weights: str = setting(..., "folder of the weights: path, fsspec URI or hub name")
    micro_batch: int = setting(16, "frames captioned at once", ge=1)

    def folder(self) -> Path:
        """The local folder of the weights; fetched where they are remote.

        Raises:
            ModelError: When they cannot be had.
        """
        folder = Finder("captioner").find(self.weights)
        if not folder.is_dir():
            raise ModelError(f"captioner.weights = {self.weights!r} must be a folder with {self.kind}'s weights")
        return folder

    def fingerprint(self) -> str:
        """Sha256 of the files that decide a caption."""
        files = {name: path for name, path in tree(self.folder()).items() if path.suffix in (*_TEXT, *_WEIGHTS)}
        # Pickles are read only where there are no safetensors.
        weights = [kind for kind in _WEIGHTS if any(path.suffix == kind for path in files.values())][:1]
        return fingerprint({name: path for name, path in files.items() if path.suffix in (*_TEXT, *weights)})

    def check(self) -> None:
        """Refuse, in seconds, weights that cannot be read, so that no job starts with them.

        Raises:
            ModelError: Naming what is wrong.
        """
        self.folder()

    def deciding(self) -> dict[str, JSON]:
        """The settings that decide a caption beside the weights: what an output is identified by."""
        return self.model_dump(mode="json", exclude={"kind", "weights", "micro_batch"})
