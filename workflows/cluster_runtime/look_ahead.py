"""How far a stage works ahead of the next one."""

from __future__ import annotations

from ray.data import DataContext
from ray.data._internal.execution.backpressure_policy import (
    ENABLED_BACKPRESSURE_POLICIES,
    ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY,
    BackpressurePolicy,
)
from ray.data._internal.execution.interfaces import PhysicalOperator

_BLOCKS = "v2a.look_ahead_blocks"


class LookAhead(BackpressurePolicy):
    """Starts no task of a stage while many of its blocks wait for the next one.

    Ray Data's own policies let a stage go on until half of its share of the object store is in use, which is gigabytes
    on a large machine: up to there, a job would hold more the larger its catalog is.
    """

    def can_add_input(self, op: PhysicalOperator) -> bool:
        """Whether Ray Data may start a task of `op`."""
        most = self._data_context.get_config(_BLOCKS)
        return all(self._topology[after].total_enqueued_input_blocks() < most for after in op.output_dependencies)


def limit_look_ahead(context: DataContext, blocks: int) -> None:
    """Limit what waits for a stage.

    Args:
        context: Of the jobs to come.
        blocks: At most about so many; not less than the rows of a batch, for which a stage waits.
    """
    context.set_config(_BLOCKS, blocks)
    context.set_config(ENABLED_BACKPRESSURE_POLICIES_CONFIG_KEY, [*ENABLED_BACKPRESSURE_POLICIES, LookAhead])
