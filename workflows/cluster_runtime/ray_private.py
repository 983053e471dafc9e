"""What is private to Ray, all of it, with the versions of Ray that it was tested on.

Other files import what Ray promises to keep. What is here can change with any version of Ray: on one that is not
listed, or where something is not found, a job goes on in Ray's public way, and one warning says what it does without.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset

T = TypeVar("T")

TESTED = ("2.60.0",)

# What a job does without where Ray's private way is not taken.
LOOK_AHEAD = "a stage may work far ahead of the next one, and fill the object store"
CUT_CPUS = "cutting blocks reserves a whole CPU, so that small machines finish soundtracks late"
RESTARTS = "work that always ends its worker is tried until limits.stalled_s"
ARGUMENTS = "an actor that is lost may not start again"
LOCATIONS = "a run may not end where memory never suffices"
QUIET = "Ray tells on the terminal that it tries something again"
LOOPBACK = "a Ray that is started here may listen on this machine's network address"
AUTO = "--address auto is not checked before Ray starts"
CHECKPOINTS = "a list of checkpoints that a full disk left torn is not mended"
SIGINT = "Ctrl-C ends a training without a word"
SUBMISSION = "a job of KubeRay that would fail again is tried again"
_LOSSES = (LOOK_AHEAD, CUT_CPUS, RESTARTS, ARGUMENTS, LOCATIONS, QUIET, LOOPBACK, AUTO, CHECKPOINTS, SIGINT, SUBMISSION)

# Loggers that tell what is no news to the user of a job.
AUTHENTICATION_LOGGER = "ray._private.authentication.authentication_token_setup"
PROGRESS_LOGGER = "ray.data._internal.progress"
MAP_LOGGER = "ray.data._internal.execution.operators.map_operator"

ANSWER_S = 5.0  # an answer takes milliseconds; a busy machine needs seconds to start the actor that gives it
_BLOCKS = "v2a.look_ahead_blocks"
_told: set[str] = set()


def limit_look_ahead(context: DataContext, blocks: int) -> None:
    """Limit what waits for a stage.

    Ray Data's own policies let a stage go on until half of its share of the object store is in use, which is gigabytes
    on a large machine: up to there, a job would hold more the larger its catalog is.

    Args:
        context: Of the jobs to come.
        blocks: At most about so many; not less than the rows of a batch, for which a stage waits.
    """

    def limit() -> None:
        from ray.data._internal.execution import backpressure_policy as policies

        class LookAhead(policies.BackpressurePolicy):
            """Starts no task of a stage while many of its blocks wait for the next one."""

            def can_add_input(self, op: Any) -> bool:
                most = self._data_context.get_config(_BLOCKS)
                waiting = (self._topology[after].total_enqueued_input_blocks() for after in op.output_dependencies)
                return all(blocks < most for blocks in waiting)

        enabled = [*policies.ENABLED_BACKPRESSURE_POLICIES, LookAhead]
        context.set_config(_BLOCKS, blocks)
        context.set_config(policies.ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, enabled)

    _try(limit, LOOK_AHEAD)


def reserve_cpus(data: Dataset, cpus: float) -> None:
    """Let the last step of a chain, one without CPUs of its own in Ray's interface, reserve so many."""

    def reserve() -> None:
        last: Any = data._logical_plan.dag
        last.ray_remote_args["num_cpus"] = cpus

    _try(reserve, CUT_CPUS)


def bound_restarts(data: Dataset, task_retries: int, actor_restarts: int) -> None:
    """Limit how often what a chain has lost is tried again.

    Args:
        data: The chain, not running yet.
        task_retries: Of one task, or of one batch of an actor.
        actor_restarts: Of one actor.
    """

    def bound() -> None:
        waiting: list[Any] = [data._logical_plan.dag]
        while waiting:
            operator = waiting.pop()
            waiting += operator.input_dependencies
            # `map_batches` takes them as options of Ray too, but will not in later versions.
            options = getattr(operator, "ray_remote_args", None)
            if options is None:
                continue
            if isinstance(getattr(operator, "compute", None), ActorPoolStrategy):
                options.setdefault("max_restarts", actor_restarts)
                options.setdefault("max_task_retries", task_retries)
            else:
                options.setdefault("max_retries", task_retries)

    _try(bound, RESTARTS)


def pass_arguments_by_value() -> None:
    """Make the actors of Ray Data keep what they were built with.

    Ray Data puts it into the object store, where it may be gone when an actor is to start again (ray-project/ray issue
    53727); Ray says so for each actor. By value it is part of what the cluster knows of the actor.
    """

    def pass_them() -> None:
        from ray.data._internal.execution.operators.actor_pool_map_operator import ActorPoolMapOperator

        actors: Any = ActorPoolMapOperator
        _ = actors._map_transformer_ref, actors._data_context_ref  # what is replaced must be there
        actors._map_transformer_ref = property(lambda operator: operator._map_transformer)
        actors._data_context_ref = property(lambda operator: operator.data_context)

    _try(pass_them, ARGUMENTS)


def bound_wait_for_locations() -> None:
    """Make the loop of Ray Data go on when the actor that knows where its other actors run does not answer.

    Ray Data waits for it without a limit, and Ray starts it again without one. Where memory is short, it may die each
    time before it answers. The loop that waits is also the one that notices lost workers and that nothing moves: no
    run would end.
    """

    def bound() -> None:
        from ray.data._internal.execution.node_trackers import actor_location
        from ray.data._internal.execution.operators import actor_pool_map_operator
        from ray.data._internal.utils.cache import timed_cache

        operators: Any = actor_pool_map_operator
        _ = operators.get_actor_locations, actor_location.get_or_create_actor_location_tracker
        operators.get_actor_locations = timed_cache(ttl=1)(_actor_locations)

    _try(bound, LOCATIONS)


def _actor_locations(actor_ids: tuple[str, ...]) -> dict[str, str]:
    """Where actors run; nothing when that is not known in time: Ray Data then takes them to be where they were."""
    from ray.data._internal.execution.node_trackers import actor_location

    if not actor_ids:
        return {}
    tracker: Any = actor_location.get_or_create_actor_location_tracker()
    try:
        found: dict[str, str] = ray.get(tracker.get_actor_locations.remote(actor_ids), timeout=ANSWER_S)
    except ray.exceptions.GetTimeoutError:
        return {}
    return found


def keep_quiet() -> None:
    """Keep from the terminal what is no news; it is in Ray's logs.

    That Ray tries something again, as when a run is stopped; and that the actor which tidies up after a training asked
    a cluster that was ending.
    """

    def hush() -> None:
        from ray._private import worker

        prints: Any = worker
        show = prints.print_to_stdstream
        if getattr(show, "hushed", False):
            return

        def show_the_rest(data: dict[str, Any], *arguments: object, **more: object) -> None:
            again = any("so the task will be retried" in line for line in data["lines"])
            if not again and data.get("actor_name") != "PlacementGroupCleaner":
                show(data, *arguments, **more)

        prints.print_to_stdstream = show_the_rest
        prints.print_to_stdstream.hushed = True

    _try(hush, QUIET)


def listen_on_loopback() -> None:
    """Let the Ray that starts next use 127.0.0.1 as the address of this machine, `/metrics` and its agents too.

    So does Ray on macOS and Windows; there is no other way to ask for it, `_node_ip_address` included.
    """

    def listen() -> None:
        from ray._private import ray_constants

        constants: Any = ray_constants
        _ = constants.ENABLE_RAY_CLUSTER
        os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"  # for the processes that Ray starts
        constants.ENABLE_RAY_CLUSTER = False  # read when Ray was imported

    _try(listen, LOOPBACK)


def cluster_here() -> str | None:
    """The address of the cluster of this machine, `auto` to Ray; None: it cannot be told before Ray starts.

    Raises:
        ConnectionError: When there is none.
    """

    def find() -> str:
        from ray._private import services

        return str(services.canonicalize_bootstrap_address_or_die("auto"))

    return _try(find, AUTO)


def submission_id() -> str | None:
    """The id of the submitted Ray job whose entrypoint this process is; None: it is none's, or that cannot be told."""

    def find() -> str | None:
        from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
        from ray.dashboard.modules.job.common import JOB_ID_METADATA_KEY

        told = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR, "{}"))
        found = told.get("metadata", {}).get(JOB_ID_METADATA_KEY)
        return str(found) if found else None

    return _try(find, SUBMISSION)


def leave_sigint(trainer: object) -> None:
    """Let Ctrl-C end a training as it ends the other jobs, with KeyboardInterrupt.

    Ray Train's own handler takes the signal, stops the workers and exits with 0, and without a word. Without it the
    workers go when this process disconnects from Ray.
    """

    def leave() -> None:
        ours: Any = trainer
        _ = ours._register_sigint_handler
        ours._register_sigint_handler = lambda controller: None

    _try(leave, SIGINT)


def checkpoint_list_name() -> str | None:
    """The name of the file in which Ray Train lists an output's checkpoints; None on a Ray that may have another."""

    def find() -> str:
        from ray.train.v2._internal import constants
        from ray.train.v2._internal.execution.checkpoint import checkpoint_manager as lists

        _ = lists._CheckpointManagerState, lists._TrainingResultState
        return str(constants.CHECKPOINT_MANAGER_SNAPSHOT_FILENAME)

    return _try(find, CHECKPOINTS)


def read_checkpoint_list(content: object) -> list[str] | None:
    """The names in the list, the latest last; None when it is none that Ray reads.

    Args:
        content: Of the file, as JSON gives it.
    """
    from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import _CheckpointManagerState

    try:
        state = _CheckpointManagerState.parse_obj(content)
    except ValueError:  # pydantic's is one, too
        return None
    names = [item.checkpoint_dir_name for item in state.checkpoint_results]
    latest = state.latest_checkpoint_result
    return names if (latest.checkpoint_dir_name if latest else None) == (names[-1] if names else None) else None


def write_checkpoint_list(checkpoints: Sequence[tuple[str, int]]) -> bytes:
    """The content of the file for some checkpoints, at least one: name and step of each, the latest last."""
    from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import (
        _CheckpointManagerState,
        _TrainingResultState,
    )

    results = [_TrainingResultState(checkpoint_dir_name=name, metrics={"step": step}) for name, step in checkpoints]
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
    return str(state.json()).encode()


def _try(action: Callable[[], T], loss: str) -> T | None:
    """Do something in Ray's private way, where that is known; else None, and a warning."""
    if ray.__version__ not in TESTED:
        tested = ", ".join(TESTED) or "none"
        _warn(
            f"Ray {ray.__version__} is none of the versions that this program knows from inside ({tested}); it goes on "
            f"in Ray's public way, with these differences: {'; '.join(_LOSSES)}"
        )
        return None
    try:
        return action()
    except (ImportError, AttributeError) as error:
        _warn(f"Ray {ray.__version__} is not as it was tested ({error}): {loss}")
        return None


def _warn(text: str) -> None:
    """Say it once in a process."""
    if text not in _told:
        _told.add(text)
        print(f"v2a: {text}", file=sys.stderr, flush=True)
