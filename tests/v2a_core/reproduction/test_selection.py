"""Which systems rows and figures need, each once; and what there is not is refused by name."""

from __future__ import annotations

import pytest

from v2a_core.config import ConfigError
from v2a_core.reproduction.paper import OURS, TABLES
from v2a_core.reproduction.selection import check_external, select
from v2a_core.reproduction.systems import SYSTEMS

EVERYTHING = ",".join(map(str, TABLES))


def test_all_tables_need_every_system_once():
    found = select(EVERYTHING, "none", [])
    assert [system.name for system in found.systems()] == list(SYSTEMS)
    assert found.mappers()["blip"] == ("diffusion-transformer",)
    assert len(found.mappers()["main"]) == 6
    assert found.mappers()["large"] == ("diffusion-transformer",)


def test_a_row_alone_needs_its_own_parts_alone():
    found = select("4", "", ["diffusion-mlp"])
    assert [system.name for system in found.systems()] == ["diffusion-mlp"]
    assert found.mappers() == {"main": ("diffusion-mlp",)}
    assert [row.name for row in TABLES[4].rows if found.wants(row)] == ["diffusion-mlp"]


def test_rows_without_a_mapper_train_none():
    assert select("3", "none", ["no-mapper", "via-text"]).mappers() == {}


def test_figures_need_our_mapper_and_what_listeners_compare():
    assert select("none", "3,7", []).mappers() == {"main": ("diffusion-transformer",)}
    assert select("none", "3,7", []).systems() == ()
    assert {system.name for system in select("none", "5", []).systems()} == {OURS, "via-text", "no-mapper"}


def test_numbers_come_in_their_order_and_once():
    assert [table.number for table in select("5, 3,5", "7,3", []).tables] == [3, 5]
    assert select("5", "7,3", []).figures == (3, 7)


@pytest.mark.parametrize(
    ("tables", "figures", "only", "said"),
    [
        ("9", "none", [], r"--tables '9': .* 1, 3, 4, 5, 6, 7"),
        ("2", "none", [], "table 2 is a listening test"),
        ("4,x", "none", [], "--tables 'x'"),
        ("4", "1", [], r"--figures '1': .* 3, 4, 5, 7"),
        ("none", "none", [], "nothing to do"),
        ("5", "none", ["blip"], "--only blip: the rows of these tables are random-frame, middle-frame, ours"),
    ],
)
def test_what_there_is_not_is_refused(tables, figures, only, said):
    with pytest.raises(ConfigError, match=said):
        select(tables, figures, only)


def test_only_systems_of_the_paper_have_a_row():
    check_external(["im2wav", "clipsonic-iq"])
    with pytest.raises(ConfigError, match="v2a evaluate --system"):
        check_external(["mmaudio"])
