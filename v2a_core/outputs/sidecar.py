"""A sidecar of embeddings: an output with columns of its own, keyed by the ids of the segments of another output.

Its manifest names the embeddings that it lies beside by their `output_id`, which they keep wherever they are moved to.
Nothing is written into these: whoever reads both is told both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.outputs import manifest
from v2a_core.outputs.ledger import part_files
from v2a_core.outputs.manifest import Manifest
from v2a_core.protocols import JSON
from v2a_core.storage.public import public
from v2a_core.tables.beside import FRAMES, HEARD, TIMED, columns_of
from v2a_core.tables.schema import ROWS_FOLDER

JOB = "embed --beside"
_NEVER_CUT = "frames.timing_fps"  # denser frames change neither segments nor their ids


@dataclass(frozen=True)
class Looked:
    """How segments are looked at in one way: what an output says of it, or a run.

    Attributes:
        cut: Settings by which segments are cut and their frames chosen, such as `segments.length_s`.
        timing_fps: Denser frames a second; 0: none.
        vision: Fingerprint of the vision encoder.
        space: Its embedding space.
    """

    cut: Mapping[str, JSON]
    timing_fps: float
    vision: JSON
    space: str

    @classmethod
    def of(cls, made_by: Manifest) -> Looked:
        """What a manifest of `v2a embed` says."""
        identity = made_by.get("identity") or {}
        return cls.by(
            manifest.group(identity, "segments"),
            manifest.group(identity, "frames"),
            identity.get("vision"),
            (made_by.get("spaces") or {}).get("vision", ""),
        )

    @classmethod
    def by(cls, segments: Mapping[str, JSON], frames: Mapping[str, JSON], vision: JSON, space: str) -> Looked:
        """What a run's settings and models say."""
        cut = {f"segments.{key}": value for key, value in segments.items()}
        cut |= {f"frames.{key}": value for key, value in frames.items()}
        return cls(cut, float(cast(float, cut.pop(_NEVER_CUT, 0.0))), vision, space)


@dataclass(frozen=True)
class Sidecar:
    """A sidecar that fits the embeddings that it is read with.

    Attributes:
        uri: Folder or URI.
        made_by: Its manifest.
        groups: The groups of columns that it adds.
    """

    uri: str
    made_by: Manifest
    groups: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it adds."""
        return columns_of(self.groups)

    @property
    def space(self) -> str:
        """Its vision space."""
        return self.made_by["spaces"]["vision"]

    def joined(self, base: Manifest) -> Manifest:
        """What a manifest would say of one table with the columns of both; `base` is that of the embeddings."""
        frames = {**manifest.group(base["identity"], "frames")}
        own = manifest.group(self.made_by["identity"], "frames")
        if TIMED in self.groups or FRAMES in self.groups:  # denser frames of another encoder are not looked at
            frames.pop("timing_fps", None)
            frames |= {"timing_fps": own["timing_fps"]} if TIMED in self.groups else {}
        identity = {**base["identity"], "frames": frames, "vision": self.made_by["identity"]["vision"]}
        if HEARD in self.groups:
            identity["timing"] = self.made_by["identity"]["timing"]
        return {
            **base,
            "identity": identity,
            "spaces": {**base["spaces"], "vision": self.space},
            "bundle": self.made_by.get("bundle", {}),
        }


def groups_added(base: Manifest, embeddings: str, ours: Looked) -> tuple[str, ...]:
    """The groups of columns that embeddings lack of what a run looks at.

    Args:
        base: Their manifest.
        embeddings: Folder or URI, for messages.
        ours: The run.

    Raises:
        ConfigError: When segments would be other ones, or nothing is lacking; names both sides.
    """
    theirs = Looked.of(base)
    differences = _differences(theirs, ours)
    if differences:
        raise ConfigError(
            f"the embeddings {public(embeddings)} have other segments than this run would: give it the same settings, "
            "or embed anew without --beside:\n" + "\n".join(differences)
        )
    other = theirs.vision != ours.vision or theirs.space != ours.space
    groups: tuple[str, ...] = (FRAMES,) if other else ()
    if ours.timing_fps and (other or theirs.timing_fps != ours.timing_fps):
        groups += (TIMED,)
        groups += () if "timing" in base["identity"] else (HEARD,)
    if not groups:
        dense = f" and frames.timing_fps = {ours.timing_fps:g}" if ours.timing_fps else ""
        raise ConfigError(
            f"there is nothing to add to {public(embeddings)}: it is of the vision space {ours.space!r}{dense} "
            "already. Choose another bundle (--models), or denser frames (--set frames.timing_fps=10)"
        )
    return groups


def open_sidecar(uri: str, embeddings: str, base: Manifest, *, allow_unfinished: bool = False) -> Sidecar:
    """A sidecar, checked against the embeddings that it shall be read with.

    Args:
        uri: Folder or URI that `v2a embed --beside` wrote.
        embeddings: Folder or URI of the embeddings, for messages.
        base: Their manifest.
        allow_unfinished: Take a sidecar whose job has not finished, too.

    Raises:
        ConfigError: When it is no sidecar, lies beside another output, is not finished, or has lost a part.
    """
    made_by = manifest.read(uri, job=JOB)
    beside = manifest.group(made_by["identity"], "beside")
    if beside.get("output_id") != base.get("output_id"):
        told = _told_of(made_by)
        raise ConfigError(
            f"{public(uri)} was made beside other embeddings, {told} (output_id {beside.get('output_id')}), not "
            f"beside {public(embeddings)} (output_id {base.get('output_id')}): give those, or make one for these: "
            f"`v2a {JOB} {public(embeddings)} ...`"
        )
    if beside.get("identity") != manifest.identity_digest(base):
        raise ConfigError(f"{public(uri)}: {public(embeddings)} has other segments or models than when it was made")
    if made_by.get("status") != "done" and not allow_unfinished:
        raise ConfigError(
            f"{public(uri)} is not finished (status {made_by.get('status')!r}): run the same `v2a {JOB}` again to "
            "complete it, or train on what is there with --set data.allow_unfinished=true"
        )
    _check_parts(uri, made_by)
    groups = beside.get("columns")
    return Sidecar(uri, made_by, tuple(str(group) for group in cast(Sequence[JSON], groups)))


def _told_of(made_by: Manifest) -> JSON:
    """Where the embeddings lay when the last run ended."""
    runs = made_by.get("runs") or [{}]
    return manifest.group(runs[-1], "beside").get("embeddings") or "of another folder"


def _check_parts(uri: str, made_by: Manifest) -> None:
    """Rows of a part that is gone would only be missing, without a word."""
    there = {name.rsplit("/", 1)[-1] for name in part_files(storage.join(uri, ROWS_FOLDER))}
    gone = {name: rows for name, rows in manifest.recorded_parts(made_by).items() if name not in there}
    if gone:
        name, rows = next(iter(gone.items()))
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        raise ConfigError(
            f"{public(uri)} has lost {name} with {rows} rows{more}: restore it, or `v2a verify {public(uri)} "
            f"--repair`, then the same `v2a {JOB}` again makes its rows anew"
        )


def _differences(theirs: Looked, ours: Looked) -> list[str]:
    return [
        f"  {key}: the embeddings have {theirs.cut.get(key)!r}, this run {ours.cut.get(key)!r}"
        for key in sorted({*theirs.cut, *ours.cut})
        if theirs.cut.get(key) != ours.cut.get(key)
    ]
