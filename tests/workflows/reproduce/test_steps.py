"""Parts of a reproduction by themselves: what is made once, and who shares what."""

from __future__ import annotations

from v2a_core.reproduction.selection import select
from workflows.reproduce.once import once
from workflows.reproduce.plan import plan


def test_the_same_request_is_made_once(tmp_path):
    result, note, made = tmp_path / "result", str(tmp_path / "note.json"), []

    def make() -> None:
        made.append(1)
        result.write_text("made")

    assert once(note, {"of": ["a", 1.5, None]}, str(result), make)
    assert not once(note, {"of": ["a", 1.5, None]}, str(result), make)
    assert once(note, {"of": ["b"]}, str(result), make)
    result.unlink()  # it was lost
    assert once(note, {"of": ["b"]}, str(result), make)
    (tmp_path / "note.json").write_text("broken off")
    assert once(note, {"of": ["b"]}, str(result), make)
    assert len(made) == 4


def test_a_step_that_fails_is_not_remembered(tmp_path):
    result = tmp_path / "result"

    def fail() -> None:
        result.write_text("half of it")
        raise OSError("disk full")

    for _ in range(2):
        try:
            once(str(tmp_path / "note.json"), {}, str(result), fail)
        except OSError:
            continue
        raise AssertionError("it was taken for made")


def test_bundles_of_one_space_share_embeddings_and_mappers():
    chosen = select("4,6,7", "none", [])
    shared = plan(chosen, lambda role: "blip" if role == "blip" else "main")
    assert set(shared.trained) == {"main", "blip"}
    assert len(shared.trained["main"]) == 4
    apart = plan(chosen, lambda role: role)
    assert set(apart.trained) == set(apart.looking) == {"main", "blip", "small", "large"}
    assert apart.trained["large"] == ("diffusion-transformer",)


def test_who_only_hears_texts_needs_no_eyes():
    assert plan(select("3", "none", ["via-text"]), lambda role: role).eyes == ()
