"""One weight source -> files on this machine.

A source is `./path` inside the bundle's root, a local path, an fsspec URI, or a hub name `owner/repo[:file]`. What is
fetched lands in the cache folder under a lock, in one rename: a process that is killed, or two that start together,
leave nothing half done. What is there already is used without a network.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import sys
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from v2a_core import storage
from v2a_core.models import digests
from v2a_core.models.download import download
from v2a_core.models.errors import ModelError
from v2a_core.storage.filesystem import Filesystem
from v2a_core.storage.public import public

_HUB_NAME = re.compile(r"^(?P<repo>[\w.-]+/[\w.-]+)(:(?P<file>.+))?$")
# Description and weights, not the same weights again as pickles, Flax or demo files.
_HUB_TEXT = ["*.json", "*.txt"]
# Beside a fetched file: where it is from, and its digest when it came.
_FIRST_CONTACT = ".first-contact.json"
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class Finder:
    """Finds the sources of one part.

    Attributes:
        component: Name of the part, for messages and the cache: `vision`, `audio`, `generator`, `captioner`.
        root: What `./` stands for: a local folder or URI.
        checksums: Sha256 (or `md5:...`) of the part's files by name, where known.
        revision: Commit, tag or branch of a hub repository; empty: what it holds now.
    """

    component: str
    root: str = "."
    checksums: Mapping[str, str] = field(default_factory=dict)
    revision: str = ""

    def find(self, source: str, beside: Sequence[str] = ()) -> Path:
        """A local file or folder with the content of a source.

        Args:
            source: What the bundle says.
            beside: Names of files that belong to a single weight file and are fetched with it.

        Raises:
            ModelError: When it cannot be had.
        """
        source = self.absolute(source)
        if "://" in source:
            return self.fetch(source, beside)
        path = Path(source).expanduser()
        if path.exists():
            return path.resolve()
        name = _HUB_NAME.match(source)
        if name is None or source.startswith(("/", ".", "~")):
            raise ModelError(f"{self.component}.weights = {source!r}: there is no such file or folder")
        return self.hub(name["repo"], name["file"])

    def weight_file(self, source: str, beside: Sequence[str] = (), prefer: Sequence[str] = ()) -> Path:
        """The weight file of a source that may be a folder; see `find`.

        Args:
            source: What the bundle says.
            beside: See `find`.
            prefer: Names that are taken before others, whatever else the folder holds; the first that is there.

        Raises:
            ModelError: When it cannot be had, or a folder has none, or several to choose from.
        """
        path = self.find(source, beside)
        if path.is_file():
            return path
        for name in prefer:
            if (path / name).is_file():
                return path / name
        for pattern in _WEIGHTS:
            files = sorted(path.glob(pattern))
            if len(files) == 1:
                return files[0]
            if files:
                names = ", ".join(file.name for file in files)
                raise ModelError(
                    f"{self.component}.weights = {str(path)!r} has several weight files ({names}): name one"
                )
        raise ModelError(
            f"{self.component}.weights = {str(path)!r} is a folder without weights ({', '.join(_WEIGHTS)})"
        )

    def absolute(self, source: str) -> str:
        """`./` as what it stands for; other sources as they are."""
        if source == "." or source.startswith("./"):
            return storage.join(self.root, source[2:]) if source[2:] else self.root
        return source

    def fetch(self, uri: str, beside: Sequence[str] = ()) -> Path:
        """The content of a URI: itself when it is local, else a copy in the cache folder.

        With checksums the copy is found again without asking the storage, and is only kept when it fits them. A file of
        a web server is found again by its address.
        """
        if storage.is_local(uri):
            path = Path(storage.canonical(uri))
            if not path.exists():
                raise ModelError(f"{self.component}.weights = {uri!r}: there is no such file or folder")
            return path
        with _explained(f"{uri} for {self.component}"):
            if uri.startswith(("http://", "https://")):
                return self._from_web(uri)
            fs, path_there = storage.filesystem(uri)
            version = repr(sorted(self.checksums.items())) if self.checksums else _version(fs, path_there)
            name = Path(path_there.rstrip("/")).name
            key = hashlib.blake2b(f"{uri}|{version}".encode(), digest_size=8).hexdigest()

            def fill(folder: Path) -> None:
                if fs.isdir(path_there):
                    fs.get(path_there.rstrip("/") + "/", f"{folder}/", recursive=True)
                else:
                    _get_file(uri, folder / name, beside)
                verify(self.component, digests.tree(folder), self.checksums)

            folder = in_cache(f"{self.component}-{name}-{key}", fill)
        return folder / name if (folder / name).is_file() else folder

    def _from_web(self, url: str) -> Path:
        """A file of a web server: fetched once, and known from then on by what it was at this first contact."""
        name = Path(urllib.parse.urlsplit(url).path).name or "file"
        key = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
        fetched: list[str] = []

        def fill(folder: Path) -> None:
            arrived = digests.cache_folder() / "models" / ".arriving" / key / name
            arrived.parent.mkdir(parents=True, exist_ok=True)
            fetched.append(_fetch_web(self.component, url, arrived, self.checksums.get(name)))
            shutil.move(arrived, folder / name)
            shutil.rmtree(arrived.parent)
            storage.write_json(str(folder / _FIRST_CONTACT), {"url": public(url), "sha256": fetched[0]})

        folder = in_cache(f"web-{name}-{key}", fill)
        path = folder / name
        if fetched:
            digests.remember(path, "sha256", fetched[0])  # it has moved since it was read
        first = str(storage.read_json(str(folder / _FIRST_CONTACT))["sha256"])
        if not path.is_file() or digests.sha256(path) != first:
            raise ModelError(
                f"{self.component}: {path} is damaged or was changed since it came from {public(url)}: its sha256 was "
                f"{first}. Delete {folder} and fetch it again"
            )
        return path

    def hub(self, repo: str, file: str | None = None) -> Path:
        """A file of a repository of the model hub, or all of its description and weights."""
        with _explained(f"{repo}{f':{file}' if file else ''} for {self.component} from the model hub"):
            import huggingface_hub

            # A commit that is in the hub's cache is found there without asking anybody.
            revision = self.revision or None
            if file:
                return Path(huggingface_hub.hf_hub_download(repo, file, revision=revision))
            wanted = [*_HUB_TEXT, "*.safetensors"]
            folder = Path(huggingface_hub.snapshot_download(repo, revision=revision, allow_patterns=wanted))
            needed = [sub for sub in ("unet", "vae", "text_encoder", "vocoder") if (folder / sub).is_dir()] or ["."]
            if not all(list((folder / sub).glob("*.safetensors")) for sub in needed):
                wanted = [*_HUB_TEXT, *_WEIGHTS]
                folder = Path(huggingface_hub.snapshot_download(repo, revision=revision, allow_patterns=wanted))
            return folder


def in_cache(name: str, fill: Callable[[Path], None]) -> Path:
    """The folder `name` of the model cache, made by `fill` when it is not there; whole or not at all.

    Args:
        name: Folder name that says what is in it, with all that it depends on.
        fill: Writes the content into an empty folder.
    """
    folder = digests.cache_folder() / "models" / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_name(f".{name}.lock"), name):
        if folder.is_dir():
            return folder
        for left in folder.parent.glob(f".{name}.*.part"):
            shutil.rmtree(left)  # of a process that was killed: nobody else can be here
        part = folder.with_name(f".{name}.{uuid.uuid4().hex[:8]}.part")
        part.mkdir()
        try:
            fill(part)
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _alone(lock: Path, name: str) -> Iterator[None]:
    """One process of a machine fetches; the others wait for it, and say so."""
    from filelock import FileLock, Timeout

    alone = FileLock(lock)
    try:
        alone.acquire(timeout=0)
    except Timeout:
        print(f"{name} is being fetched by another process: waiting for it", file=sys.stderr, flush=True)
        alone.acquire()
    try:
        yield
    finally:
        alone.release()


def verify(component: str, files: Mapping[str, Path], checksums: Mapping[str, str]) -> None:
    """Compare files with their checksums.

    Raises:
        ModelError: For a missing or a changed file.
    """
    for name, expected in checksums.items():
        if name not in files:
            raise ModelError(f"{component}: {name} is missing; it has a checksum in the bundle. Fetch the bundle again")
        found = digests.as_expected(files[name], expected)
        if found != expected:
            raise ModelError(
                f"{component}: {files[name]} is damaged or was changed: its digest is {found}, the bundle says "
                f"{expected}. Delete it and fetch it again, or correct the bundle's checksums"
            )


def _fetch_web(component: str, url: str, target: Path, expected: str | None) -> str:
    """Fetch a file of a web server; its sha256.

    Raises:
        ModelError: When it is another one than was expected; then nothing is kept of it.
    """
    download(url, target)
    found = digests.as_expected(target, expected or "")
    if expected and found != expected:
        shutil.rmtree(target.parent)
        raise ModelError(
            f"{component}: {public(url)} gave another file than was asked for: its digest is {found}, the bundle says "
            f"{expected}. It was not kept: try again; if it stays so, the file was replaced there"
        )
    return digests.sha256(target)


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn the many errors of networks and storages into one that says what to do."""
    try:
        yield
    except ModelError:
        raise
    except _network_errors() as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # the wrappers only repeat the address
            cause = cause.__cause__
        reason = str(cause).strip().split("\n")[0] or type(cause).__name__
        raise ModelError(
            f"could not fetch {what}: {reason}\nOn a machine that reaches it, run `v2a models fetch NAME --output "
            "FOLDER_OR_URI`, and use `--models FOLDER_OR_URI` here; or name local files in a bundle of your own"
        ) from error


def _network_errors() -> tuple[type[Exception], ...]:
    """Errors of fetching. Of a library that is not loaded none can have come."""
    errors: list[type[Exception]] = [OSError, ValueError, ImportError, asyncio.TimeoutError]
    for module, name in (
        ("aiohttp", "ClientError"),
        ("botocore.exceptions", "BotoCoreError"),
        ("botocore.exceptions", "ClientError"),
        ("httpx", "HTTPError"),
    ):
        if module in sys.modules:
            errors.append(getattr(sys.modules[module], name))
    return tuple(errors)


def _version(fs: Filesystem, path: str) -> str:
    """What changes when the content does: names, sizes, and etags or times of change."""
    entries = fs.find(path, detail=True) if fs.isdir(path) else {path: fs.info(path)}
    stamps = ("size", "ETag", "etag", "LastModified", "mtime", "updated", "last_modified", "created")
    return repr(sorted((name, *(str(entry.get(stamp)) for stamp in stamps)) for name, entry in entries.items()))


def _get_file(uri: str, target: Path, beside: Sequence[str]) -> None:
    storage.download(uri, target)
    folder = uri.rpartition("/")[0]
    for name in beside:
        if storage.exists(f"{folder}/{name}"):
            storage.download(f"{folder}/{name}", target.with_name(name))
