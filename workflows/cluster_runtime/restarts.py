"""Workers of Ray Data that die: how they start again, and how often."""

from __future__ import annotations

from typing import Any

import ray
from ray._private import worker
from ray.data import ActorPoolStrategy, Dataset
from ray.data._internal.execution.node_trackers.actor_location import get_or_create_actor_location_tracker
from ray.data._internal.execution.operators import actor_pool_map_operator
from ray.data._internal.execution.operators.actor_pool_map_operator import ActorPoolMapOperator
from ray.data._internal.utils.cache import timed_cache

# By default Ray tries for ever, also what kills its worker each time. What is lost more often stops the run, which goes
# on from its output.
TASK_RETRIES = 5  # of one task, or of one batch of an actor
ACTOR_RESTARTS = 20  # of one actor in a run: machines come and go

_ANSWER_S = 5.0  # an answer takes milliseconds; a busy machine needs seconds to start the actor that gives it


def bound_restarts(data: Dataset) -> None:
    """Limit how often the tasks and actors of a dataset are tried again."""
    waiting: list[Any] = [data._logical_plan.dag]
    while waiting:
        operator = waiting.pop()
        waiting += operator.input_dependencies
        # `map_batches` takes them as options of Ray too, but will not in later versions.
        options = getattr(operator, "ray_remote_args", None)
        if options is None:
            continue
        if isinstance(getattr(operator, "compute", None), ActorPoolStrategy):
            options.setdefault("max_restarts", ACTOR_RESTARTS)
            options.setdefault("max_task_retries", TASK_RETRIES)
        else:
            options.setdefault("max_retries", TASK_RETRIES)


def pass_arguments_by_value() -> None:
    """Make the actors of Ray Data keep what they were built with.

    Ray Data puts it into the object store, where it may be gone when an actor is to start again (ray-project/ray issue
    53727); Ray says so for each actor. By value it is part of what the cluster knows of the actor.
    """
    actors: Any = ActorPoolMapOperator
    actors._map_transformer_ref = property(lambda operator: operator._map_transformer)
    actors._data_context_ref = property(lambda operator: operator.data_context)


def bound_wait_for_locations() -> None:
    """Make the loop of Ray Data go on when the actor that knows where its other actors run does not answer.

    Ray Data waits for it without a limit, and Ray starts it again without one. Where memory is short, it may die each
    time before it answers. The loop that waits is also the one that notices lost workers and that nothing moves: no
    run would end.
    """
    operators: Any = actor_pool_map_operator
    operators.get_actor_locations = _actor_locations


@timed_cache(ttl=1)
def _actor_locations(actor_ids: tuple[str, ...]) -> dict[str, str]:
    """Where actors run; nothing when that is not known in time: Ray Data then takes them to be where they were."""
    if not actor_ids:
        return {}
    tracker: Any = get_or_create_actor_location_tracker()
    try:
        found: dict[str, str] = ray.get(tracker.get_actor_locations.remote(actor_ids), timeout=_ANSWER_S)
    except ray.exceptions.GetTimeoutError:
        return {}
    return found


def keep_quiet() -> None:
    """Keep from the terminal what is no news; it is in Ray's logs.

    That Ray tries something again, as when a run is stopped; and that the actor which tidies up after a training asked
    a cluster that was ending.
    """
    prints: Any = worker
    show = prints.print_to_stdstream
    if getattr(show, "hushed", False):
        return

    def show_the_rest(data: dict[str, Any], *arguments: Any, **more: Any) -> None:
        again = any("so the task will be retried" in line for line in data["lines"])
        if not again and data.get("actor_name") != "PlacementGroupCleaner":
            show(data, *arguments, **more)

    prints.print_to_stdstream = show_the_rest
    prints.print_to_stdstream.hushed = True
