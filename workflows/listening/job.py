"""`v2a listening make` and `v2a listening score`. They need no Ray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.listening.making.make import Made, Wanted, make_test
from v2a_core.listening.scoring.scored import Scored
from v2a_core.metrics.systems.files import files_to_markdown
from v2a_core.storage import StorageAccess
from workflows.listening.config import ListeningSettings


def make(wanted: Wanted, settings: ListeningSettings, consent_file: str | None = None) -> Made:
    """Make a test, and say what became of the files.

    Args:
        wanted: Of what, and where to.
        settings: What it consists of.
        consent_file: Text that people agree to, instead of the page's own.

    Raises:
        ConfigError: When no item can be presented, or a place is taken.
    """
    with storage.reach(StorageAccess.of_job(settings.storage, wanted.output, settings.output_storage)):
        if consent_file is not None:
            wanted = Wanted(**{**vars(wanted), "consent": _read_text(consent_file)})
        made = make_test(wanted, settings.making, settings.decoder)
    print(files_to_markdown(made.material.files), flush=True)
    _tell_left_out(made)
    rated = len(made.key.rated)
    practice = len(made.key.items) - rated
    short = "" if rated == settings.making.items else f" ({settings.making.items} were wanted)"
    print(
        f"listening: {rated} items{short} and {practice} for practice, {len(made.key.systems)} systems, "
        f"{made.key.forms} forms -> {made.page}"
    )
    print(f"listening: the key, which listeners must not get -> {wanted.key}")
    if wanted.webmushra:
        print(f"listening: to be copied into webMUSHRA's folder -> {wanted.webmushra} (?config={made.key.test}.yaml)")
    return made


def score(results: Sequence[str], key: str, output: str, settings: ListeningSettings) -> Scored:
    """Score a test, and print its tables.

    Args:
        results: Files and folders of results.
        key: The key that `make` put aside.
        output: Folder or URI of tables, numbers and plots.
        settings: What counts.

    Raises:
        ConfigError: When the key is none, or there is no file.
    """
    from v2a_core.listening.scoring.score import score_test, write_scored

    with storage.reach(StorageAccess.of_job(settings.storage, output, settings.output_storage)):
        scored = score_test(results, key, settings.scoring)
        print(write_scored(scored, output), flush=True)
    counted = f"{len(scored.counted)} of {len(scored.listeners)} listeners count"
    print(f"listening: {counted}, {len(scored.read.left_out)} files and listeners left out -> {output}")
    return scored


def _tell_left_out(made: Made) -> None:
    """Why items cannot be presented: how often each kind of reason, and one example."""
    if not made.left_out:
        return
    kinds = Counter(_kind(reason) for reason in made.left_out.values())
    print(f"listening: {len(made.left_out)} items cannot be presented, by none of the systems:")
    for kind, count in kinds.most_common():
        key, reason = next((key, reason) for key, reason in made.left_out.items() if _kind(reason) == kind)
        print(f"  {count} x {kind}, such as {key}: {reason}")


def _kind(reason: str) -> str:
    for words, kind in (
        ("has no sound", "missing"),
        ("cannot be read", "unreadable"),
        ("is silent", "silent"),
        ("s long, the shortest", "too short"),
    ):
        if words in reason:
            return kind
    return "without a picture"


def _read_text(uri: str) -> str:
    try:
        text = storage.read_bytes(uri).decode("utf-8-sig").strip()
    except FileNotFoundError:
        raise ConfigError(f"--consent {uri}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"--consent {uri} is no text in UTF-8: {error}") from None
    if not text:
        raise ConfigError(f"--consent {uri} is empty: people have to know what they agree to")
    return text
