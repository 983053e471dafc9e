"""Are the files of a table's rows there: many at a time, and whatever is wrong with one is told of that one."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Sequence

from v2a_core import storage
from v2a_core.catalog import files
from v2a_core.catalog.files import FileInfo
from v2a_core.compute.threads import ScopedThreads
from v2a_core.media.types import NOT_FOUND, MediaError
from v2a_core.storage.access import is_web

# From so many rows in one remote folder on, listing the folder is cheaper than asking for every file.
_LIST_FROM = 8
_AT_ONCE = 32

# Of the name, whatever the disk: it stays wrong.
_OF_THE_NAME = frozenset({errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EISDIR})


class Lookup:
    """Finds the files of a table's rows; a remote folder that is asked for often is listed once."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        self._folders: dict[str, dict[str, FileInfo] | None] = {}  # None: it could not be listed

    def find(self, uris: Sequence[str]) -> list[FileInfo | MediaError]:
        """Look files up.

        Returns:
            For each the file, or why there is none: of stage `fetch` when the next run may find it.
        """
        distinct = list(dict.fromkeys(uris))
        remote = [uri for uri in distinct if files.is_remote(uri)]
        local = [uri for uri in distinct if not files.is_remote(uri)]
        self._list_folders(remote)
        found: dict[str, FileInfo | MediaError] = {
            uri: as_reject(info.error) if info.error else _checked(info)
            for uri, info in zip(local, files.stat_all(local), strict=True)
        }
        if remote:
            with ScopedThreads(_AT_ONCE) as pool:
                found.update(zip(remote, pool.map(self._find_one, remote), strict=True))
        return [found[uri] for uri in uris]

    def _list_folders(self, uris: Sequence[str]) -> None:
        folders = [uri.rpartition("/")[0] for uri in uris if not is_web(uri)]
        self._asked.update(folders)
        for folder in dict.fromkeys(folders):
            if folder not in self._folders and self._asked[folder] >= _LIST_FROM:
                self._folders[folder] = _entries(folder)

    def _find_one(self, uri: str) -> FileInfo | MediaError:
        folder, _, name = uri.rpartition("/")
        entries = self._folders.get(folder)
        try:
            if entries is None:
                return _checked(files.stat(uri))
            return _checked(entries[name]) if name in entries else as_reject(FileNotFoundError(name))
        # A filesystem that a row names raises whatever its package raises, an ImportError without the package; it is
        # the row's.
        except Exception as error:  # noqa: BLE001
            return as_reject(error)


def _checked(info: FileInfo) -> FileInfo | MediaError:
    """A file that is what its name says."""
    try:
        if files.may_be_text(info.uri) and not files.is_video_inside(info.uri):
            return MediaError("catalog", "NotMedia", "it is no MPEG transport stream")
    except OSError as error:
        return as_reject(error)
    return info


def as_reject(error: Exception) -> MediaError:
    """Why a file could not be looked up: of stage `fetch` what may pass by itself, and is tried again."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return MediaError(*NOT_FOUND, "no such file")
    if isinstance(error, ValueError):  # a scheme that nothing reads, a password, a name that no file can have
        return MediaError("catalog", "BadUri", str(error))
    stage = "fetch" if isinstance(error, OSError) and error.errno not in _OF_THE_NAME else "catalog"
    return MediaError(stage, type(error).__name__, str(error))


def _entries(folder: str) -> dict[str, FileInfo] | None:
    try:
        fs, path = storage.filesystem(folder)
        found = storage.attempt(folder, lambda: fs.ls(path, detail=True))
    except FileNotFoundError:
        return {}
    except Exception:  # noqa: BLE001 (as above: then each file is asked for, and tells what is wrong)
        return None
    infos = (files.remote_info(fs, entry) for entry in found if entry["type"] == "file")
    return {info.uri.rpartition("/")[2]: info for info in infos}
