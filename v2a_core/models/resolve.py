"""A bundle as written down -> a bundle on this machine, and from there to a folder or bucket."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import yaml

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.models import digests, finite, sources
from v2a_core.models.bundle import (
    BUNDLE_FILE,
    CHECKSUMS_FILE,
    CLAP_CONFIG,
    CLIP_CONFIGS,
    COMPONENTS,
    Bundle,
    LocalBundle,
)
from v2a_core.models.checkpoints import first_not_finite_in
from v2a_core.models.errors import ModelError

IN_PACKAGE = "package:"


def resolve_bundle(bundle: Bundle) -> LocalBundle:
    """See `Bundle.resolve`."""
    settings = bundle.settings
    root = _root(bundle)

    def locate(component: str, source: str, model: str = "") -> Path:
        return sources.locate(
            source, root, component=component, model=model, checksums=checksums_of(settings.checksums, component)
        )

    clip = sources.weights_in(locate("vision", settings.vision.weights, settings.vision.model), "vision")
    clap = sources.weights_in(locate("audio", settings.audio.weights), "audio")
    generator = locate("generator", settings.generator.weights)
    clip_config = clip.with_name(CLIP_CONFIGS[settings.vision.encoder])
    local = LocalBundle(
        name=settings.name,
        trained=settings.trained,
        licence=settings.licence,
        vision_encoder=settings.vision.encoder,
        clip_model=settings.vision.model,
        clip_path=clip,
        clip_config=clip_config if clip_config.is_file() else None,
        clap_path=clap,
        clap_config=_clap_config(settings.audio.config, root, clap),
        generator=settings.generator.generator,
        generator_path=generator,
    )
    for component in COMPONENTS:
        sources.verify(component, local.files(component), checksums_of(settings.checksums, component))
        _refuse_huge(local.files(component))
    return local


def check_weights(local: LocalBundle) -> None:
    """Refuse weights that are no numbers, before workers load them; a file is read once, then it is remembered.

    Raises:
        DamagedWeightsError: Naming the file and the tensor.
    """
    for path in (path for component in COMPONENTS for path in local.files(component).values()):
        if path.suffix in (".safetensors", ".bin", ".pt", ".pth", ".ckpt"):
            name = digests.remembered(path, "not_finite", first_not_finite_in)
            if name:
                finite.refuse(str(path), name)


def _refuse_huge(files: dict[str, Path]) -> None:
    """No library is given a configuration of gigabytes.

    Raises:
        ModelError: Naming the file and its size.
    """
    for path in files.values():
        if path.suffix == ".json" and path.stat().st_size > storage.JSON_BYTES:
            raise ModelError(
                f"{path} has {path.stat().st_size:,} bytes, a JSON document has {storage.JSON_BYTES:,} at most: it is "
                "not read; get the model again"
            )


def fetch_bundle(bundle: Bundle, destination: str) -> dict[str, str]:
    """Copy a bundle to a folder or bucket, for machines without a hub: `--models DESTINATION` loads it from there.

    Args:
        bundle: What to copy; fetched first where it is remote.
        destination: Folder or URI.

    Returns:
        Sha256 of each file by its name in the destination, also written there as `checksums.json`.
    """
    local = bundle.resolve()
    files = {f"{part}/{name}": path for part in COMPONENTS for name, path in local.files(part).items()}
    checksums: dict[str, str] = {}
    for name, path in files.items():
        storage.upload(path, storage.join(destination, name))
        checksums[name] = digests.sha256(path)
    content = _description(local)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    storage.write_json(storage.join(destination, CHECKSUMS_FILE), checksums)
    # Last: a copy that was interrupted is not a bundle.
    storage.write_bytes(storage.join(destination, BUNDLE_FILE), text.encode())
    return checksums


def show_bundle(bundle: Bundle, *, resolve: bool = False) -> dict[str, Any]:
    """What `v2a models show` prints.

    Args:
        bundle: The bundle.
        resolve: Also fetch it and add paths, sizes, fingerprints, spaces and what the decoder must make.
    """
    settings = bundle.settings
    shown: dict[str, Any] = {
        "name": settings.name,
        "trained": settings.trained,
        "licence": settings.licence,
        "root": settings.root,
        "vision": settings.vision.model_dump(),
        "audio": settings.audio.model_dump(),
        "generator": settings.generator.model_dump(),
        "checksums": len(settings.checksums),
    }
    if not resolve:
        return shown
    local = bundle.resolve()
    paths = {"vision": local.clip_path, "audio": local.clap_path, "generator": local.generator_path}
    for component, fingerprint in local.fingerprints().items():
        size = sum(path.stat().st_size for path in local.files(component).values())
        shown[component] |= {"path": str(paths[component]), "megabytes": round(size / 1e6, 1), "sha256": fingerprint}
    shown["spaces"] = {"vision": local.vision_space, "audio": local.audio_space}
    shown["media"] = vars(local.media_spec())
    return shown


def checksums_of(checksums: dict[str, str], component: str) -> dict[str, str]:
    """The checksums of one component, by the names inside it."""
    prefix = f"{component}/"
    return {name.removeprefix(prefix): digest for name, digest in checksums.items() if name.startswith(prefix)}


def _root(bundle: Bundle) -> str:
    root = bundle.settings.root
    if root.startswith(IN_PACKAGE):
        return _packaged(root.removeprefix(IN_PACKAGE))
    if "://" in root or Path(root).expanduser().is_absolute():
        return str(Path(root).expanduser()) if "://" not in root else root
    relative = root.removeprefix("./").rstrip("/")
    return bundle.base if relative in ("", ".") else storage.join(bundle.base, relative)


def _packaged(place: str) -> str:
    """The folder of `PACKAGE/PATH`: it is found wherever the package is installed."""
    package, _, path = place.partition("/")
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise ConfigError(f"root = {IN_PACKAGE + place!r}: no package {package!r} is installed")
    return str(Path(found.submodule_search_locations[0]) / path)


def _clap_config(configured: str | None, root: str, checkpoint: Path) -> str | None:
    if configured is None:
        beside = checkpoint.with_name(CLAP_CONFIG)
        return str(beside) if beside.is_file() else None
    if not configured.endswith(".json"):
        return configured
    path = storage.join(root, configured[2:]) if configured.startswith("./") else configured
    return str(sources.fetch_uri(path, component="audio", checksums={}))


def _description(local: LocalBundle) -> dict[str, Any]:
    """The bundle file of a copy; a config file is found beside the weights there."""
    named = local.clap_config if local.clap_config and not local.clap_config.endswith(".json") else None
    return {
        "name": local.name,
        "trained": local.trained,
        "licence": local.licence,
        "vision": {
            "encoder": local.vision_encoder,
            "model": local.clip_model,
            "weights": f"./vision/{local.clip_path.name}",
        },
        "audio": {"weights": f"./audio/{local.clap_path.name}", "config": named},
        "generator": {"generator": local.generator, "weights": "./generator"},
    }
