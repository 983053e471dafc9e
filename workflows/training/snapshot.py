"""Ray Train's own list of an output's checkpoints, mended where a full disk, a kill or damage left it wrong.

Ray writes it in place, and refuses to start on a list that is torn or names a checkpoint that is gone.
"""

from __future__ import annotations

from v2a_core import storage
from v2a_core.training import kept
from v2a_core.training.kept import Kept
from workflows.cluster_runtime import ray_private


def mend(output: str, name: str) -> None:
    """Leave an output with whole checkpoints only, and a list that names them; says what was wrong.

    Args:
        output: Folder or URI.
        name: Of the job, which says it.
    """
    file_name = ray_private.checkpoint_list_name()
    if file_name is None:
        return
    checked = kept.check(output)
    for sentence in checked.sentences():
        print(f"{name}: {sentence}", flush=True)
    kept.remove(output, checked)
    uri = storage.join(output, kept.FOLDER, file_name)
    listed = _listed(uri) if storage.exists(uri) else []
    if listed != [item.name for item in checked.good]:
        _write(uri, checked.good)


def _listed(uri: str) -> list[str] | None:
    """The names in the list, the latest last; None when it cannot be read, or is no list that Ray reads."""
    try:
        content = storage.read_json(uri)
    except ValueError:
        return None
    return ray_private.read_checkpoint_list(content)


def _write(uri: str, good: list[Kept]) -> None:
    if good:
        storage.write_bytes(uri, ray_private.write_checkpoint_list([(item.name, item.step) for item in good]))
    else:
        storage.remove(uri)
