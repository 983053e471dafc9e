"""How often what is lost with a worker of Ray Data is tried again.

By default Ray tries for ever, also what kills its worker each time. What is lost more often stops the run, which goes
on from its output.
"""

from __future__ import annotations

from ray.data import Dataset

from workflows.cluster_runtime import ray_private

TASK_RETRIES = 5  # of one task, or of one batch of an actor
ACTOR_RESTARTS = 20  # of one actor in a run: machines come and go


def bound_restarts(data: Dataset) -> None:
    """Limit how often the tasks and actors of a dataset are tried again."""
    ray_private.bound_restarts(data, TASK_RETRIES, ACTOR_RESTARTS)
