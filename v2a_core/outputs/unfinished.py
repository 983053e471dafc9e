"""Sources that could not be fetched, or whose results could not be written: told, counted, and tried again.

They never stand among the rows of an output, which are final. One small file beside them lists what waits.
"""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from v2a_core import storage
from v2a_core.tables import rows
from v2a_core.tables.schema import UNFINISHED, UNFINISHED_FILE


class UnfinishedError(RuntimeError):
    """A run ended, and some of its sources wait for the next one."""


class Unfinished:
    """What a run could not fetch or write.

    Args:
        output: Folder or URI of the job's output.
    """

    def __init__(self, output: str) -> None:
        self._output = output
        self._taken: dict[str, pa.Table] = {}  # by source id: a source may arrive twice
        self._arrived: set[str] = set()

    def split(self, table: pa.Table) -> tuple[pa.Table, pa.Table]:
        """The rows that are final, and those that wait."""
        self._arrived.update(table["source_key"].to_pylist())
        waits = rows.is_transient(table)
        if not pc.any(waits).as_py():
            return table, table.slice(0, 0)
        waiting = table.filter(waits)
        for number, identity in enumerate(waiting["source_id"].to_pylist()):
            self._taken[identity] = rows.stamped(waiting.slice(number, 1), UNFINISHED)
        return table.filter(pc.invert(waits)), waiting

    def save(self) -> None:
        """Write down what waits: of this run, and of earlier ones what this run did not come to."""
        uri = storage.join(self._output, UNFINISHED_FILE)
        earlier = read(self._output)
        tried = pa.array(list(self._arrived), pa.string())
        kept = earlier.filter(pc.invert(pc.is_in(earlier["source_key"], value_set=tried)))
        table = pa.concat_tables([kept, *self._taken.values()])
        if table.num_rows:
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink)
            storage.write_bytes(uri, sink.getvalue().to_pybytes())
        elif earlier.num_rows:
            storage.remove(uri)

    @property
    def count(self) -> int:
        """Sources of this run that wait."""
        return len(self._taken)

    def reasons(self) -> Counter[str]:
        """Why, with the number of sources."""
        found = (item.to_pylist()[0] for item in self._taken.values())
        return Counter(f"{row['reject_stage']}: {row['reject_type']}" for row in found)

    def check(self) -> None:
        """End a run that left something.

        Raises:
            UnfinishedError: With their number, reasons, and an example.
        """
        if not self._taken:
            return
        row = next(iter(self._taken.values())).to_pylist()[0]
        reasons = ", ".join(f"{count} x {reason}" for reason, count in self.reasons().most_common(3))
        raise UnfinishedError(
            f"{self.count} source{'s' * (self.count > 1)} could not be fetched or written ({reasons}), such as "
            f"{row['source_name']!r}: {row['reject_message']}. The rest is done; the same command tries them again"
        )


def read(output: str) -> pa.Table:
    """What waits in an output, of `schema.UNFINISHED`."""
    try:
        content = storage.read_bytes(storage.join(output, UNFINISHED_FILE))
        return pq.read_table(pa.BufferReader(content)).select(UNFINISHED.names).cast(UNFINISHED)
    except FileNotFoundError:
        return UNFINISHED.empty_table()
    except (pa.ArrowException, KeyError):
        # A damaged list costs nothing: the sources are found again, because they have no row.
        return UNFINISHED.empty_table()
