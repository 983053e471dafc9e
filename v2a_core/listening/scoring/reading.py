"""Reads every result file there is: each listener once, and what could not be used with why."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.listening.key import Key
from v2a_core.listening.scoring.page_results import ResultError, read_page_result
from v2a_core.listening.scoring.sessions import Session
from v2a_core.listening.scoring.webmushra_results import is_table, read_table

# A result of 200 items and ten systems has half a megabyte.
_LARGEST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class LeftOut:
    """A file, or a listener in it, that does not count.

    Attributes:
        file: Its name.
        reason: Why.
    """

    file: str
    reason: str


@dataclass(frozen=True)
class Read:
    """What was found.

    Attributes:
        sessions: One a listener, in the order of the files.
        left_out: What does not count.
        files: How many files there were.
    """

    sessions: tuple[Session, ...]
    left_out: tuple[LeftOut, ...]
    files: int


def read_results(places: Sequence[str], key: Key) -> Read:
    """Read files, and all files in folders, whatever they are called.

    Args:
        places: Files, folders or prefixes.
        key: Of the test.

    Raises:
        ConfigError: When a place does not exist, or there is no file at all.
    """
    files = list(dict.fromkeys(file for place in places for file in _files(place)))
    if not files:
        raise ConfigError(f"{', '.join(places)}: there is no file, so nobody has answered yet")
    sessions: list[Session] = []
    left_out: list[LeftOut] = []
    for file in files:
        try:
            sessions += _read(file, key)
        except (ResultError, OSError) as error:
            left_out.append(LeftOut(file, " ".join(str(error).split())))
    for same, found_by in (("session", _by_session), ("listener", _by_listener)):
        sessions, doubled = _once(sessions, found_by, same)
        left_out += doubled
    return Read(tuple(sessions), tuple(left_out), len(files))


def _files(place: str) -> list[str]:
    fs, path = storage.filesystem(place)
    fs.invalidate_cache()
    if not storage.attempt(place, lambda: bool(fs.exists(path))):
        raise ConfigError(f"{place}: there is no such file or folder")
    if not storage.attempt(place, lambda: bool(fs.isdir(path))):
        return [storage.canonical(place)]
    root = path.rstrip("/")
    found = sorted(storage.attempt(place, lambda: fs.find(root)))
    return [storage.join(storage.canonical(place), name.removeprefix(root).lstrip("/")) for name in found]


def _read(file: str, key: Key) -> list[Session]:
    fs, path = storage.filesystem(file)
    size = storage.attempt(file, lambda: int(fs.info(path)["size"] or 0))
    if size > _LARGEST_BYTES:
        raise ResultError(f"it has {size:,} bytes: no result is so large")
    content = storage.read_bytes(file)
    if is_table(content):
        return read_table(file, content, key)
    if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        raise ResultError("it is neither a result of the page (JSON) nor a table of webMUSHRA (lms.csv)")
    return [read_page_result(file, content.removeprefix(b"\xef\xbb\xbf"), key)]


def _once(
    sessions: Sequence[Session], found_by: Callable[[Session], Hashable | None], same: str
) -> tuple[list[Session], list[LeftOut]]:
    """Of several that have one name, the one with most ratings, the first of them."""
    best: dict[Hashable, Session] = {}
    for session in sessions:
        name = found_by(session)
        if name is not None and (name not in best or session.rated > best[name].rated):
            best[name] = session
    kept, doubled = [], []
    for session in sessions:
        name = found_by(session)
        if name is None or best[name] is session:
            kept.append(session)
        else:
            reason = f"{session.name}: the same {same} as in {best[name].file}, which counts"
            doubled.append(LeftOut(session.file, reason))
    return kept, doubled


def _by_session(session: Session) -> Hashable | None:
    if session.form is not None:
        return session.session
    # Copies of a table of webMUSHRA have the same answers in the same place, under whatever name.
    ratings = tuple((take.stimulus, *sorted(take.ratings.items())) for take in session.takes)
    return (session.session, session.listener, ratings)


def _by_listener(session: Session) -> Hashable | None:
    return session.listener.casefold() or None
