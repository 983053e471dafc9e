"""Synchformer: published names and sizes; a small one has the values of the code that av-benchmark runs."""

from __future__ import annotations

import hashlib
import math

import librosa
import numpy as np
import pytest
import torch
from helpers_networks import blank_weights, seeded_film, seeded_sounds, seeded_weights
from networks_oracles import close, told

from v2a_core.metrics.desync import desync_s
from v2a_core.metrics.extractors.networks import synchformer, synchformer_inputs
from v2a_core.metrics.extractors.networks.synchformer import Ears, Eyes, Sizes
from v2a_core.models import ModelError
from v2a_core.models.unset import UnsetWeights

WIDTH = 24
SMALL = Sizes(WIDTH, 2, 2, 2, 2)
RATE = synchformer_inputs.SAMPLE_RATE


@pytest.fixture(scope="module")
def theirs():
    return told("synchformer")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Both halves in one file, as they are published."""
    shapes = {name: tuple(tensor.shape) for kind in (Eyes, Ears) for name, tensor in kind(SMALL).state_dict().items()}
    file = tmp_path_factory.mktemp("synchformer") / "synchformer.pth"
    torch.save({"model": seeded_weights(shapes)}, file)
    return file


@pytest.fixture(scope="module")
def pair(path):
    """Seventeen segments: a sound, what is seen of its video, and both halves of the network."""
    (sound,), film = seeded_sounds([5.76]), seeded_film(144, 224, 224)
    eyes, ears = synchformer.load(Eyes, path, SMALL), synchformer.load(Ears, path, SMALL)
    (seen,) = eyes.see([film])
    return sound, seen, ears


def published():
    with torch.device("meta"), UnsetWeights():
        return {name: tensor for kind in (Eyes, Ears) for name, tensor in kind(Sizes()).state_dict().items()}


def test_has_the_published_names_and_sizes(theirs):
    tensors = published()
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
    assert len(lines) == theirs["tensors"]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == theirs["layout"]
    assert sum(tensor.numel() for tensor in tensors.values()) == theirs["numbers"]


def test_a_small_one_has_the_values_of_the_original(pair, theirs):
    sound, seen, ears = pair
    segments = synchformer_inputs.sound_segments(sound)
    np.testing.assert_allclose(segments[::8, ::16, ::13].numpy(), theirs["mel"], atol=1e-4)
    heard = ears.afeat_extractor(segments).numpy()
    close(heard[::4, ::2, ::6], np.array(theirs["heard"]))
    close(seen.reshape(-1, 8, WIDTH)[::4, ::2, ::6], np.array(theirs["seen"]))
    (found,) = ears.compare([sound], [seen])
    close(np.stack(found), np.array(theirs["logits"]))


@pytest.mark.slow  # importing librosa takes longer than all else here
def test_sounds_are_heard_as_librosa_computes_it(pair):
    sound, _, _ = pair
    found = synchformer_inputs.sound_segments(sound).numpy()
    assert len(found) == synchformer_inputs.segments_of_samples(len(sound)) == 17
    for place in (0, 16):
        cut = sound[place * 5120 : place * 5120 + 10_240]
        mel = librosa.feature.melspectrogram(
            y=cut, sr=RATE, n_fft=1024, hop_length=160, win_length=400, n_mels=128, htk=True, norm=None,
            center=True, pad_mode="reflect",
        )  # fmt: skip
        logs = np.pad(np.log(mel + 1e-6), ((0, 0), (0, 1)))
        np.testing.assert_allclose(found[place], (logs + 4.2677393) / (2 * 4.5689974), atol=1e-4)


def test_segments_of_a_video_overlap_by_half():
    film = np.broadcast_to(np.arange(33, dtype=np.uint8)[:, None, None, None], (33, 224, 224, 3))
    segments = synchformer_inputs.film_segments(film)
    assert segments.shape == (3, 3, 16, 224, 224)
    np.testing.assert_array_equal(segments[:, 0, :, 0, 0], [list(range(start, start + 16)) for start in (0, 8, 16)])
    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8)
    np.testing.assert_allclose(synchformer_inputs.normal(pixels), [-1, 1, -0.6], atol=1e-6)


def test_divided_attention_is_attention_over_groups_of_tokens():
    """Written out: a token sees the first one and those at its place, the first one sees all."""
    from v2a_core.metrics.extractors.networks.synchformer_video import _DividedAttention

    torch.manual_seed(0)
    layer, width, frames, patches = _DividedAttention(8, 2), 8, 8, 196
    tokens = torch.randn(1 + frames * patches, width)
    q, k, v = (part.view(-1, 2, 4) for part in layer.qkv(tokens).chunk(3, dim=-1))
    for along_time in (True, False):
        found = layer(tokens[None], along_time=along_time)[0]
        for token in (0, 1, 5, 197, 1568):
            frame, patch = divmod(token - 1, patches)
            same = [1 + f * patches + patch for f in range(frames)] if along_time else [
                1 + frame * patches + p for p in range(patches)
            ]  # fmt: skip
            group = list(range(len(tokens))) if token == 0 else [0, *same]
            heads = [
                torch.softmax(k[group, head] @ q[token, head] / math.sqrt(4), dim=0) @ v[group, head]
                for head in range(2)
            ]
            torch.testing.assert_close(found[token], layer.proj(torch.cat(heads)), atol=1e-5, rtol=1e-4)


def test_no_more_is_compared_than_both_have_and_less_than_fourteen_segments_is_nothing(pair):
    sound, seen, ears = pair
    (whole,) = ears.compare([sound], [seen])
    least = 13 * 5120 + 10_240
    short, longer, none, unseen = ears.compare([sound[:least], sound, sound[: least - 1], sound],
                                               [seen, seen[:14], seen, seen[:0]])  # fmt: skip
    assert none is None
    assert unseen is None
    np.testing.assert_allclose(short[0], short[1])  # the first fourteen are the last ones
    np.testing.assert_allclose(short[0], whole[0], atol=1e-5)
    np.testing.assert_allclose(short[0], longer[0], atol=1e-5)
    assert desync_s(*(np.stack([end]) for end in whole)).shape == (1,)
    assert synchformer_inputs.sound_segments(sound[:100]).shape == (0, 128, 66)
    assert [len(part) for part in synchformer.Eyes(SMALL).see([np.zeros((15, 224, 224, 3), np.uint8)])] == [0]


def test_says_what_is_wrong_with_a_checkpoint(path, tmp_path):
    weights = torch.load(path)["model"]
    for message, change in {
        r"holds no Synchformer.*'transformer.off_head.weight'.*not for commercial use": {
            "transformer.off_head.weight": None
        },
        r"missing: afeat_extractor\.freq_attn_agg\.cls_token": {"afeat_extractor.freq_attn_agg.cls_token": None},
        r"unexpected: doubt\.weight": {"doubt.weight": torch.zeros(1)},
        r"vproj.bias is \(1,\), wanted \(24,\)": {"vproj.bias": torch.zeros(1)},
    }.items():
        changed = {name: tensor for name, tensor in (weights | change).items() if tensor is not None}
        torch.save(changed, tmp_path / "other.pth")
        for refuse in (synchformer.load, synchformer.check):
            with pytest.raises(ModelError, match=message):
                refuse(Ears, tmp_path / "other.pth", SMALL)


def test_the_published_size_is_checked_without_its_numbers(path, tmp_path):
    torch.save(blank_weights(published()), tmp_path / "blank.pth")
    synchformer.check(Eyes, tmp_path / "blank.pth")
    synchformer.check(Ears, tmp_path / "blank.pth")
    with pytest.raises(ModelError, match="of another shape"):
        synchformer.check(Eyes, path)
