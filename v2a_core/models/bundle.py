"""Model bundles: which checkpoints make a system. Reading one is light: no download, no torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from v2a_core import config, storage
from v2a_core.config import ConfigError
from v2a_core.models.local import LocalBundle, refuse_huge
from v2a_core.models.parts import Part, PartSettings
from v2a_core.models.settings import BundleSettings
from v2a_core.models.sources import Finder, verify

BUNDLE_FILE = "bundle.yaml"
CHECKSUMS_FILE = "checksums.json"
IN_PACKAGE = "package:"

SettingsT = TypeVar("SettingsT", bound=PartSettings)


@dataclass(frozen=True)
class Bundle:
    """A bundle as it is written down, not yet on this machine.

    Attributes:
        settings: The content of its file.
        base: Folder or URI of that file.
    """

    settings: BundleSettings
    base: str

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.settings.name

    def resolve(self) -> LocalBundle:
        """The bundle on this machine: fetched where it is remote, verified where checksums are known.

        Safe in many processes at once; the second call finds everything in the cache.

        Raises:
            ModelError: When something cannot be fetched or is not what its checksum says; says what to do.
        """
        said = self.settings
        return LocalBundle(
            name=said.name,
            trained=said.trained,
            licence=said.licence,
            vision=self._part("vision", said.vision),
            audio=self._part("audio", said.audio),
            generator=self._part("generator", said.generator),
            adapter=None if said.adapter is None else self._part("adapter", said.adapter),
            predictor=None if said.predictor is None else self._part("predictor", said.predictor),
        )

    def _part(self, name: str, settings: SettingsT) -> Part[SettingsT]:
        prefix = f"{name}/"
        checksums = {
            key.removeprefix(prefix): digest
            for key, digest in self.settings.checksums.items()
            if key.startswith(prefix)
        }
        found = settings.find(Finder(name, self._root(), checksums, settings.revision))
        verify(name, found.files, checksums)
        refuse_huge(found.files)
        return Part(settings, found)

    def _root(self) -> str:
        root = self.settings.root
        if root.startswith(IN_PACKAGE):
            return _packaged(root.removeprefix(IN_PACKAGE))
        if "://" in root or Path(root).expanduser().is_absolute():
            return str(Path(root).expanduser()) if "://" not in root else root
        relative = root.removeprefix("./").rstrip("/")
        return self.base if relative in ("", ".") else storage.join(self.base, relative)


def _packaged(place: str) -> str:
    """The folder of `PACKAGE/PATH`: it is found wherever the package is installed."""
    package, _, path = place.partition("/")
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise ConfigError(f"root = {IN_PACKAGE + place!r}: no package {package!r} is installed")
    return str(Path(found.submodule_search_locations[0]) / path)


def load_bundle(name_or_file: str, overrides: Sequence[str] = ()) -> Bundle:
    """Read a bundle: light, without a download.

    Args:
        name_or_file: A shipped name (`paper`), a YAML file, or a folder with a `bundle.yaml`; local or a URI.
        overrides: `key=value` strings, such as `generator.weights=/data/audioldm`.

    Raises:
        ConfigError: When there is no such bundle, or its content is wrong.
    """
    if "://" not in name_or_file:
        path = Path(name_or_file)
        file = path / BUNDLE_FILE if path.is_dir() else config.find(name_or_file, "models")
        return _read_bundle(file, str(file.resolve().parent), overrides)
    uri = name_or_file.rstrip("/")
    uri = uri if uri.endswith((".yaml", ".yml")) else storage.join(uri, BUNDLE_FILE)
    try:
        with storage.local_copy(uri) as local:
            return _read_bundle(local, uri.rsplit("/", 1)[0], overrides)
    except FileNotFoundError:
        raise ConfigError(f"no model bundle at {uri}: `v2a models fetch NAME --output URI` makes one") from None


def _read_bundle(file: Path, base: str, overrides: Sequence[str]) -> Bundle:
    settings = _absolute(config.load(BundleSettings, job="models", source=str(file), overrides=overrides))
    settings = _unpinned(settings, overrides)
    try:
        listed = storage.read_json(storage.join(base, CHECKSUMS_FILE))
    except FileNotFoundError:
        return Bundle(settings, base)
    return Bundle(settings.model_copy(update={"checksums": {**listed, **settings.checksums}}), base)


def _unpinned(settings: BundleSettings, overrides: Sequence[str]) -> BundleSettings:
    """What the file says of weights does not hold for those that are put in their place."""
    told = {override.partition("=")[0].strip() for override in overrides}
    others = {key.partition(".")[0] for key in told if key.endswith((".weights", ".checkpoint"))}
    kept = {name: digest for name, digest in settings.checksums.items() if name.partition("/")[0] not in others}
    replaced = {
        name: part.model_copy(update={"revision": ""})
        for name, part in settings.parts().items()
        if name in others and f"{name}.revision" not in told
    }
    return settings.model_copy(update={"checksums": kept, **replaced})


def _absolute(settings: BundleSettings) -> BundleSettings:
    """Local paths as they are seen from here: a worker stands elsewhere. Names and ./paths are not paths from here."""

    def found(source: str | None) -> str | None:
        if source is None or "://" in source or source == "." or source.startswith("./"):
            return source
        path = Path(source).expanduser()
        return str(path.resolve()) if path.exists() else source

    def seen(part: PartSettings) -> PartSettings:
        return part.model_copy(update={name: found(getattr(part, name)) for name in part.sources})

    return settings.model_copy(update={name: seen(part) for name, part in settings.parts().items()})
