"""Ray Train's own list of an output's checkpoints, mended where a full disk, a kill or damage left it wrong.

Ray writes it in place, and refuses to start on a list that is torn or names a checkpoint that is gone. What it looks
like is private to Ray: its own classes make it here.
"""

from __future__ import annotations

from typing import Any

from ray.train.v2._internal.constants import CHECKPOINT_MANAGER_SNAPSHOT_FILENAME
from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import _CheckpointManagerState, _TrainingResultState

from v2a_core import storage
from v2a_core.training import kept
from v2a_core.training.kept import Kept


def mend(output: str) -> None:
    """Leave an output with whole checkpoints only, and a list that names them; says what was wrong."""
    checked = kept.check(output)
    for sentence in checked.told():
        print(f"train: {sentence}", flush=True)
    kept.remove(output, checked)
    uri = storage.join(output, kept.FOLDER, CHECKPOINT_MANAGER_SNAPSHOT_FILENAME)
    if not storage.exists(uri):
        listed: Any = []
    else:
        listed = _listed(uri)
    if listed != [item.name for item in checked.good]:
        _write(uri, checked.good)


def _listed(uri: str) -> list[str] | None:
    """The names in the list, the latest last; None when it cannot be read, or is no list that Ray reads."""
    try:
        state = _CheckpointManagerState.parse_obj(storage.read_json(uri))
    except ValueError:  # pydantic's is one, too
        return None
    names = [item.checkpoint_dir_name for item in state.checkpoint_results]
    latest = state.latest_checkpoint_result
    return names if (latest.checkpoint_dir_name if latest else None) == (names[-1] if names else None) else None


def _write(uri: str, good: list[Kept]) -> None:
    if not good:
        storage.remove(uri)
        return
    results = [_TrainingResultState(checkpoint_dir_name=item.name, metrics={"step": item.step}) for item in good]
    state = _CheckpointManagerState(
        checkpoint_results=results,
        checkpoint_report_indices=list(range(len(results))),
        latest_checkpoint_result=results[-1],
        pending_training_results=[],
        pending_validation_specs=[],
        current_report_index=len(results),
        validated_checkpoint_dir_names=[],
        timed_out_validation_checkpoint_dir_names=[],
        failed_validation_checkpoint_dir_names=[],
    )
    storage.write_bytes(uri, state.json().encode())
