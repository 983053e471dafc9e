"""Jobs on a cluster of machines with addresses of their own, and what befalls them: all end as if nothing had.

`CHAOS_ROUNDS` rounds, from the one of the seed `CHAOS_SEED` on; `make chaos` sets both.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import helpers_nodes
import helpers_s3
import pytest
from helpers_chaos import World
from helpers_nodes import Network, Node
from helpers_ray_nodes import running
from helpers_rounds import Play, Round

_FIRST, _COUNT = (int(os.environ.get(name, default)) for name, default in (("CHAOS_SEED", "0"), ("CHAOS_ROUNDS", "1")))
_STORE = 2  # the first addresses are this process's and the bucket's


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    missing = helpers_nodes.missing()
    if missing:
        pytest.skip(missing)
    with helpers_nodes.network() as made:
        yield made


@pytest.fixture(scope="module")
def store(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(network, _STORE, tmp_path_factory.mktemp("store"), "store").up()
    yield node
    node.down()


@pytest.fixture(scope="module")
def world(store: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with helpers_s3.serve_s3_apart(store.address, store.inside) as endpoint:
        yield World(endpoint, tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("seed", range(_FIRST, _FIRST + _COUNT))
def test_round(
    network: Network,
    world: World,
    store: Node,
    tmp_path: Path,
    seed: int,
    record_property: Callable[[str, object], None],
) -> None:
    chosen = Round.of(seed)
    for name in ("seed", "job", "fault"):
        record_property(name, getattr(chosen, name))
    world.undisturbed(chosen.job)
    with running(network, tmp_path) as cluster:
        play = Play(world, cluster, store, chosen, tmp_path)
        try:
            play.run()
        finally:
            record_property("moment", play.outcome.moment)
            record_property("told", play.outcome.told)
    shutil.rmtree(tmp_path, ignore_errors=True)  # megabytes of Ray's logs, which nobody reads of what has held
