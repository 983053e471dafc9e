"""Laws of the cost model: it computes, so what must hold holds for all numbers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2a_core.config import ConfigError
from workflows.cluster_runtime.config import PoolSettings
from workflows.costing.capacity import lasting_share
from workflows.costing.config import Bounds, ClusterFile, NodePool, Prices
from workflows.costing.forecast import Task, forecast
from workflows.costing.mix import Wish, choose
from workflows.costing.work import Stage, Work, gets_of

SECONDS = st.floats(1e-4, 5.0)


def work(decode_s: float = 0.4, model_s: float = 0.1, *, fetched: bool = True) -> Work:
    stages = (
        Stage("DecodeStage", "decode", decode_s, decode_s * 0.8, 1e6),
        Stage("EncodeStage", "model", model_s, model_s, 1e4),
        Stage("FinishStage", "other", 0.01, 0.01, 0.0),
    )
    return Work(
        job="embed",
        sources=20,
        rows=1.0,
        stages=stages,
        start_s=10.0,
        bytes_in=1e6,
        bytes_out=1e4,
        gets=2.0,
        puts=0.0,
        files_seen=True,
        model_stages=1,
        on_gpus=False,
        cores=2.0,
        actor_bytes=2e9,
        worker_bytes=5e8,
        fetched=fetched,
    )


def task(sources: int = 100_000, block: int = 10, of: Work | None = None) -> Task:
    return Task(of or work(), sources, block, PoolSettings())


def cluster(**more: object) -> ClusterFile:
    pools = {
        "cpu": NodePool(max=6, cpus=16, price_per_hour=0.3, spot=True, interruptions_per_hour=0.05),
        "gpu": NodePool(max=5, cpus=8, gpus=1, price_per_hour=1.1, gpu_speed=8.0),
    }
    return ClusterFile.model_validate({"pools": pools, **more})


@given(SECONDS, SECONDS, st.integers(1, 10**8), st.integers(0, 30), st.integers(1, 30), st.sampled_from(["cpu", "gpu"]))
def test_one_node_more_is_never_slower(decode_s, model_s, sources, cpus, gpus, grown) -> None:
    asked, nodes = task(sources, of=work(decode_s, model_s)), {"cpu": cpus, "gpu": gpus}
    before = forecast(asked, cluster(), nodes).seconds
    assert forecast(asked, cluster(), {**nodes, grown: nodes[grown] + 1}).seconds <= before * (1 + 1e-9)


@given(st.floats(0.1, 50), st.integers(1, 10**7))
def test_money_is_linear_in_prices(factor, sources) -> None:
    def file(times: float) -> ClusterFile:
        pools = {"cpu": NodePool(count=3, cpus=16, price_per_hour=0.3 * times)}
        prices = Prices(
            storage_per_gb_month=0.02 * times,
            get_per_million=0.4 * times,
            put_per_million=5 * times,
            egress_per_gb=0.09 * times,
        )
        return ClusterFile(pools=pools, prices=prices)

    once, times = (forecast(task(sources), file(by), {"cpu": 3}) for by in (1.0, factor))
    assert times.money.total == pytest.approx(factor * once.money.total)
    assert times.seconds == once.seconds


@given(st.integers(1, 10**7), SECONDS)
def test_no_part_is_idle_by_less_than_nothing_and_the_bottleneck_is_the_longest(sources, model_s) -> None:
    made = forecast(task(sources, of=work(model_s=model_s)), cluster(), {"cpu": 2, "gpu": 2})
    assert 0 <= made.cpu_idle <= 1
    assert made.gpu_idle is not None
    assert 0 <= made.gpu_idle <= 1
    assert made.bounds[made.bottleneck] == max(made.bounds.values())
    assert made.seconds >= max(made.bounds.values())


@settings(max_examples=30)
@given(st.integers(1, 10**7), SECONDS, SECONDS, st.floats(60, 10**6), st.none() | st.floats(0.5, 500))
def test_the_chosen_mix_is_feasible_and_the_cheapest_of_all(sources, decode_s, model_s, deadline_s, budget) -> None:
    asked, file, wish = task(sources, of=work(decode_s, model_s)), cluster(), Wish(deadline_s, budget)
    every = [
        forecast(asked, file, {"cpu": cpus, "gpu": gpus})
        for cpus, gpus in itertools.product(range(7), range(6))
        if cpus + gpus
    ]
    met = [made for made in every if made.seconds <= deadline_s and (budget is None or made.money.total <= budget)]
    found = choose(asked, file, wish)
    assert (found.best is None) == (not met)
    if found.best:
        assert found.best.money.total == pytest.approx(min(made.money.total for made in met))
        assert found.best in met


def test_with_a_budget_alone_the_fastest_is_taken() -> None:
    asked, file = task(1_000_000), cluster()
    free = choose(asked, file, Wish())
    rich = choose(asked, file, Wish(budget=free.cheapest.money.total * 3))
    assert free.best is not None
    assert rich.best is not None
    assert rich.best.seconds <= free.best.seconds
    assert rich.best.money.total <= free.cheapest.money.total * 3
    assert choose(asked, file, Wish(budget=free.cheapest.money.total / 2)).best is None


def test_the_mix_of_large_pools_is_found_beside_the_grid() -> None:
    pools = {
        "cpu": NodePool(max=400, cpus=16, price_per_hour=0.3),
        "gpu": NodePool(max=400, cpus=8, gpus=1, price_per_hour=1.1, gpu_speed=8.0),
    }
    file, asked, wish = ClusterFile(pools=pools), task(20_000_000, 2000), Wish(deadline_s=12 * 3600.0)
    best = choose(asked, file, wish).best
    assert best is not None
    for cpu, gpu in itertools.product((-1, 0, 1), repeat=2):
        near = {"cpu": best.nodes["cpu"] + cpu, "gpu": best.nodes["gpu"] + gpu}
        if min(near.values()) >= 0:
            made = forecast(asked, file, near)
            assert made.seconds > 12 * 3600 or made.money.total >= best.money.total


def test_a_spot_node_that_is_taken_away_costs_half_a_block_and_the_restart() -> None:
    pool = NodePool(count=1, cpus=4, price_per_hour=1.0, spot=True, interruptions_per_hour=2.0)
    assert lasting_share(pool, block_s=600, restart_s=300) == pytest.approx(1 / (1 + 2 * 600 / 3600))
    assert lasting_share(pool.model_copy(update={"interruptions_per_hour": 0.0}), 600, 300) == 1


def test_what_no_node_makes_faster_bounds_a_large_cluster() -> None:
    pools = {"cpu": NodePool(count=1000, cpus=96, price_per_hour=1.0)}
    file = ClusterFile(pools=pools, bounds=Bounds(commit_rows_per_s=100.0))
    made = forecast(task(10_000_000, 1000), file, {"cpu": 1000})
    assert made.bottleneck == "commit (one writer)"
    assert made.bounds[made.bottleneck] == pytest.approx(100_000)
    assert made.cpu_idle > 0.9


def test_where_nothing_is_fetched_waiting_is_not_the_jobs() -> None:
    here = work(fetched=False)
    assert here.busy_s("decode") == pytest.approx(0.32)
    assert replace(here, fetched=True).busy_s("decode") == pytest.approx(0.4)


def test_models_that_were_measured_on_gpus_say_nothing_of_cpus() -> None:
    measured = replace(work(), on_gpus=True)
    with pytest.raises(ConfigError, match="these nodes have none"):
        forecast(task(of=measured), cluster(), {"cpu": 1, "gpu": 0})
    assert choose(task(of=measured), cluster(), Wish()).cheapest.nodes["gpu"]


def test_the_memory_of_a_node_is_that_of_its_workers_and_the_store() -> None:
    made = forecast(task(), cluster(), {"cpu": 2, "gpu": 1})
    assert made.node_bytes["cpu"] == pytest.approx(16 * 5e8 / 0.7)
    assert made.node_bytes["gpu"] == pytest.approx((8 * 5e8 + 2e9) / 0.7)


def test_requests_of_files() -> None:
    assert gets_of([10, 33 * 2**20]) == 2.5
