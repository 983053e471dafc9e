"""The systems without a mapper: CLIP straight in, and through text."""

from __future__ import annotations

import helpers_blip
import numpy as np
import pyarrow as pa
import pytest

from v2a_core.captioners.blip import BlipCaptioner, BlipCaptionerSettings
from v2a_core.mappers.none import NoMapper
from v2a_core.models import ModelError
from v2a_core.stages import caption
from v2a_core.tables import arrays, rows
from v2a_core.tables.schema import OK, REJECTED

SIZE = 32


class Letters:
    """An encoder whose embedding begins with the number of letters."""

    def embed_text(self, texts):
        return np.array([[len(text), *[0] * 511] for text in texts], np.float32)


def batch(captions, bad=()) -> pa.Table:
    cells = [
        {
            "segment_id": str(index), "source_id": str(index), "source_uri": "/a", "source_name": "a", "kind": "video",
            "segment_index": 0, "segment_count": 1, "status": REJECTED if index in bad else OK, "caption": caption,
            "frames": None if index in bad else np.full((3, SIZE, SIZE, 3), 40 * index, np.uint8).tobytes(),
            "reject_type": "Broken" if index in bad else None,
        }
        for index, caption in enumerate(captions)
    ]  # fmt: skip
    return rows.table(cells)


def test_the_catalogs_text_becomes_the_condition_and_a_missing_one_a_reject():
    given = batch(["a dog", None, "  ", "rain"], bad=[3])
    made = caption.text_conditions(given, caption.texts_of_catalog(given, "caption"), Letters())
    assert made["status"].to_pylist() == [OK, REJECTED, REJECTED, REJECTED]
    assert made["reject_type"].to_pylist() == [None, "NoText", "NoText", "Broken"]
    assert made["condition_text"].to_pylist() == ["a dog", None, None, None]
    conditions = arrays.read_vectors(made["condition"])
    assert conditions[0][0] == 5
    assert conditions[1:] == [None, None, None]
    assert "frames" not in made.schema.names


def test_no_mapper_is_the_normalised_mean():
    random = np.random.default_rng(0)
    frames = [random.normal(size=(n, 512)).astype(np.float16) for n in (1, 7)]
    mapped = NoMapper().map(frames, [0, 1])
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(mapped, axis=1), 1, atol=1e-5)
    mean = frames[1].astype(np.float32).mean(axis=0)
    np.testing.assert_allclose(mapped[1], mean / np.linalg.norm(mean), atol=1e-5)


@pytest.fixture(scope="module")
def blip(tmp_path_factory) -> str:
    return helpers_blip.save_blip(tmp_path_factory.mktemp("blip"))


def test_captions_do_not_depend_on_the_batch(blip):
    frames = list(np.random.default_rng(0).integers(0, 255, (5, 48, 48, 3), dtype=np.uint8))
    many = BlipCaptioner(BlipCaptionerSettings(weights=blip, max_tokens=6)).caption(frames)
    single = BlipCaptioner(BlipCaptionerSettings(weights=blip, max_tokens=6, micro_batch=1)).caption(frames)
    assert many == single
    assert len(many) == 5
    words = {word for text in many for word in text.split()}
    assert words
    assert words <= {word.lower() for word in [*helpers_blip.WORDS, "[unk]", "[unused0]"]}


def test_a_frame_in_the_middle_is_captioned(blip):
    given = batch([None, None], bad=[1])
    texts = caption.texts_of_frames(given, BlipCaptioner(BlipCaptionerSettings(weights=blip, max_tokens=4)), SIZE)
    assert texts[1] is None


def test_what_is_no_captioner_is_refused(tmp_path, blip):
    with pytest.raises(ModelError, match="there is no such file or folder"):
        BlipCaptionerSettings(weights=str(tmp_path / "none")).fingerprint()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="cannot be read as BLIP"):
        BlipCaptioner(BlipCaptionerSettings(weights=str(tmp_path / "empty")))
    assert len(BlipCaptionerSettings(weights=blip).fingerprint()) == 64
