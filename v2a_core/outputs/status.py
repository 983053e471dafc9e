"""How an output is doing, from its files alone: whether a run is at it, how far that is, and what is there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.outputs import manifest
from v2a_core.outputs.lease import DEAD_S, Owner, ago, owner
from v2a_core.outputs.ledger import part_files
from v2a_core.protocols import JSON
from v2a_core.storage.public import public
from v2a_core.tables.schema import INDEX_FOLDER, ROWS_FOLDER

State = Literal["running", "silent", "stopped", "unfinished", "done"]
UNIT = "unit"  # what a run counts in, in what it tells; sources where it does not say
_BESIDE = (UNIT, "done", "planned", "elapsed_s")  # told by other words
_MEANING: Mapping[State, str] = {
    "running": "a run is at work",
    "silent": "its run has not been heard of for longer than it may: it is dead, or cut off from the storage",
    "stopped": "no run is at work, and the last one ended before its end; the same command goes on from there",
    "unfinished": "no run is at work; some sources could not be fetched or written, the same command tries them again",
    "done": "no run is at work, and nothing is left to do",
}


@dataclass(frozen=True)
class Status:
    """What is known of an output.

    Attributes:
        output: Folder or URI.
        job: What makes it.
        state: `running`, `silent`, `stopped`, `unfinished` or `done`.
        owner: Of the run that is at work, or was last.
        parts: Committed parts.
        committed_s: Seconds since the newest part was committed; None: none was.
        rows: Of the output, when its last run ended; None: none has.
        totals: What the summary of that run says of the output.
        now: Seconds since the epoch.
    """

    output: str
    job: str
    state: State
    owner: Owner | None
    parts: int
    committed_s: float | None
    rows: int | None
    totals: Mapping[str, JSON]
    now: float

    @property
    def eta_s(self) -> float | None:
        """Seconds that the run still takes at its speed so far; None where that is not known."""
        told = self.owner.progress if self.owner and self.state == "running" else {}
        done, planned, elapsed_s = (_number(told.get(name)) for name in ("done", "planned", "elapsed_s"))
        return (planned - done) * elapsed_s / done if done and elapsed_s else None

    def to_dict(self) -> dict[str, JSON]:
        """Plain data for JSON."""
        return {**asdict(self), "eta_s": self.eta_s}

    def lines(self) -> list[str]:
        """For people."""
        found = [f"{public(self.output)}: {self.job}, {self.state}: {_MEANING[self.state]}"]
        if self.owner is not None:
            found.append(self._owner(self.owner))
            found += self._progress(self.owner.progress) if not self.owner.released else []
        if self.committed_s is not None:
            found.append(f"parts: {self.parts}, the newest committed {ago(self.committed_s)}")
        if self.rows is not None:
            found.append(f"when its last run ended: {self.rows} rows{_listed(self.totals)}")
        return found

    def _owner(self, run: Owner) -> str:
        ended = ", and has given it free" if run.released else ", and is gone" if run.gone else ""
        return (
            f"run: process {run.process} on {run.host}, begun {ago(self.now - run.begun)}, last heard of "
            f"{ago(self.now - run.renewed)}{ended}"
        )

    def _progress(self, told: Mapping[str, JSON]) -> list[str]:
        if "done" not in told:
            return []
        eta = f", {self.eta_s / 60:.0f} min to go" if self.eta_s is not None else ""
        of = f"{told['done']} of {told.get('planned')}"
        if UNIT in told:
            return [f"progress: {of} {told[UNIT]}{_measured(told)}{eta}"]
        return [f"progress: {of} sources of this run{_listed(told)}{eta}"]


def read_status(output: str) -> Status:
    """How an output is doing; reads no rows.

    Raises:
        ConfigError: When nothing of `v2a` is there.
    """
    now, run = time.time(), owner(output)
    try:
        content = manifest.load(output)
    except FileNotFoundError:
        if run is None:
            raise ConfigError(
                f"{public(output)} has no {manifest.FILE_NAME}: no job of `v2a` has written there"
            ) from None
        content = {}
    folders = (ROWS_FOLDER, INDEX_FOLDER)
    stamps = sorted(_stamp(uri) for name in folders for uri in part_files(storage.join(output, name)))
    ended = content.get("runs") or [{}]
    totals = ended[-1].get("totals")
    return Status(
        output,
        str(content.get("job") or (run.job if run else "")),
        _state(run, content, now),
        run,
        len(stamps),
        max(0.0, now - stamps[-1]) if stamps else None,
        content["contents"]["rows"] if "contents" in content else None,
        totals if isinstance(totals, Mapping) else {},
        now,
    )


def _state(run: Owner | None, content: manifest.Manifest, now: float) -> State:
    if run is not None and not run.released and not run.gone:
        return "running" if now - run.renewed < DEAD_S else "silent"
    found = content.get("status")
    return "done" if found == "done" else "unfinished" if found == "unfinished" else "stopped"


def _stamp(uri: str) -> float:
    """When a part was written, in seconds since the epoch; its name says it in nanoseconds."""
    digits = uri.rsplit("/", 1)[-1].split("-")[1].removesuffix(".parquet")
    return int(digits) / 1e9 if digits.isdecimal() else 0.0


def _number(value: JSON) -> float:
    return value if isinstance(value, int | float) else 0.0


def _listed(values: Mapping[str, JSON]) -> str:
    """Numbers with their names, without those that are told elsewhere."""
    shown = {name: value for name, value in values.items() if name not in _BESIDE}
    numbers = {name: value for name, value in shown.items() if isinstance(value, int) and value}
    return "".join(f", {value} {name.replace('_', ' ')}" for name, value in numbers.items())


def _measured(values: Mapping[str, JSON]) -> str:
    """Values after their names."""
    shown = {name: value for name, value in values.items() if name not in _BESIDE and isinstance(value, int | float)}
    return "".join(f", {name.replace('_', ' ')} {value:g}" for name, value in shown.items())
