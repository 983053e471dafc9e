from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from v2a_core.config import CONFIG_ROOT, ConfigError, load
from v2a_core.mappers import build, count_parameters
from v2a_core.mappers.config import MapperConfig, MapperSettings, SamplingSettings
from v2a_core.mappers.export import Mapper
from v2a_core.mappers.registries import METHODS, NETWORKS
from v2a_core.mappers.transformer import TransformerNetwork
from workflows.train.config import TrainJob

DIM, VISION_DIM = 32, 24
SMALL = {"transformer": {"width": 16, "depth": 2, "heads": 2, "head_dim": 8}, "mlp": {"width": 32, "depth": 2}}
ALL = list(itertools.product(METHODS.names(), NETWORKS.names()))


def settings(method: str, network: str, **more) -> MapperSettings:
    sampling = {"sampling": {"steps": 8}} if method != "regression" else {}
    return MapperSettings.model_validate(
        {"method": {"kind": method, **sampling}, "network": {"kind": network, **SMALL[network]}, **more}
    )


def mapper(method: str, network: str, sampling: SamplingSettings | None = None, **more) -> Mapper:
    torch.manual_seed(0)
    chosen = settings(method, network, **more)
    config = MapperConfig(
        mapper=chosen, embedding_dim=DIM, vision_dim=VISION_DIM, vision_space="clip:1", audio_space="clap:1"
    )
    return Mapper(build(chosen, DIM, VISION_DIM), config, "0" * 64, sampling=sampling)


def frames(rows: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    raw = [random.normal(size=(1 + row % 4, VISION_DIM)) for row in range(rows)]
    return [(item / np.linalg.norm(item, axis=1, keepdims=True)).astype(np.float16) for item in raw]


@pytest.mark.parametrize(("method", "network"), ALL)
class TestEveryMapper:
    def test_maps_to_unit_vectors(self, method, network):
        mapped = mapper(method, network).map(frames(5), [1, 2, 3, 4, 5])
        assert mapped.shape == (5, DIM)
        assert mapped.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(mapped, axis=1), 1, atol=1e-5)

    def test_is_deterministic(self, method, network):
        model = mapper(method, network)
        np.testing.assert_array_equal(model.map(frames(3), [7, 8, 9]), model.map(frames(3), [7, 8, 9]))

    def test_a_row_does_not_depend_on_its_batch(self, method, network):
        model, seeds = mapper(method, network, aggregator="random"), [11, 12, 13, 14, 15, 2**62]
        together = model.map(frames(6), seeds)
        alone = [model.map([item], [seed])[0] for item, seed in zip(frames(6), seeds, strict=True)]
        np.testing.assert_allclose(together, alone, atol=1e-5)
        np.testing.assert_allclose(together[::-1], model.map(frames(6)[::-1], seeds[::-1]), atol=1e-5)

    def test_depends_on_what_was_seen(self, method, network):
        model = mapper(method, network)
        assert not np.allclose(model.map(frames(2, 0), [1, 1]), model.map(frames(2, 1), [1, 1]), atol=1e-3)

    def test_learns_from_every_parameter(self, method, network):
        model = build(settings(method, network), DIM, VISION_DIM)
        seen, heard = (torch.nn.functional.normalize(torch.randn(64, dim), dim=-1) for dim in (VISION_DIM, DIM))
        losses = model(seen, heard, model.draws(64, torch.Generator().manual_seed(0)))
        assert losses.shape == (64,)
        losses.sum().backward()
        without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
        assert not without

    def test_full_size_is_comparable(self, method, network):
        sizes = MapperSettings.model_validate({"method": {"kind": method}, "network": {"kind": network}})
        assert count_parameters(sizes) == pytest.approx(48.83e6, rel=0.05)

    def test_shipped_configuration_is_this_one(self, method, network):
        job = load(TrainJob, job="train", source=f"{method}-{network}")
        assert (job.mapper.method.kind, job.mapper.network.kind) == (method, network)

    def test_an_empty_batch_is_empty(self, method, network):
        assert mapper(method, network).map([], []).shape == (0, DIM)


def test_every_shipped_configuration_is_known():
    names = {path.stem for path in (CONFIG_ROOT / "train").glob("*.yaml")}
    assert {f"{method}-{network}" for method, network in ALL} <= names


@pytest.mark.parametrize("method", ["diffusion", "flow"])
def test_a_denoising_mapper_is_random_by_seed_only(method):
    model = mapper(method, "mlp")
    first, second = model.map([frames(1)[0]] * 2, [1, 2])
    assert not np.allclose(first, second, atol=1e-3)


def test_the_papers_mapper_has_its_size():
    assert count_parameters(MapperSettings()) == 48_792_960
    assert count_parameters(MapperSettings()) == pytest.approx(48.83e6, rel=1e-3)


def test_shipped_default_is_the_default_but_for_the_papers_sampling():
    shipped = load(TrainJob, job="train", source="diffusion-transformer")
    paper = ["mapper.method.sampling.scheduler=ddim", "mapper.method.sampling.steps=200"]
    assert shipped == load(TrainJob, job="train", overrides=paper)


def test_read_out_is_the_learned_query():
    torch.manual_seed(0)
    chosen = settings("diffusion", "transformer").network
    network = TransformerNetwork(DIM, VISION_DIM, 100, chosen).eval()
    inputs = torch.randn(3, VISION_DIM), torch.randn(3, DIM), torch.tensor([0, 50, 99])
    before = network(*inputs)
    kept = []

    def hide_all_but_the_query(_, arguments):
        x_BLW = arguments[0].clone()
        kept.append(x_BLW.shape[1])
        x_BLW[:, :-1] = 0
        return (x_BLW,)

    # At the read-out (the norm sees the query's row only), what the other tokens became does not count ...
    handle = network.blocks[-1].feed_forward.register_forward_pre_hook(hide_all_but_the_query)
    torch.testing.assert_close(network(*inputs), before)
    assert kept == [1]
    handle.remove()
    # ... while the query itself does, and so does each input that it attends to.
    with torch.no_grad():
        network.query.copy_(network.query.flip(0))
    assert not torch.allclose(network(*inputs), before, atol=1e-3)
    changed = network(*inputs)
    for index in range(3):
        others = list(inputs)
        others[index] = inputs[index].flip(0)
        assert not torch.allclose(network(*others), changed, atol=1e-4)


def test_query_only_last_block_equals_the_whole_block():
    torch.manual_seed(0)
    network = TransformerNetwork(DIM, VISION_DIM, 100, settings("diffusion", "transformer").network).eval()
    x_BLW, bias_LHM = torch.randn(3, 4, 16), network.bias()
    block = network.blocks[-1]
    torch.testing.assert_close(block(x_BLW, bias_LHM, 1), block(x_BLW, bias_LHM, 4)[:, -1:])


def test_attention_is_causal():
    torch.manual_seed(0)
    network = TransformerNetwork(DIM, VISION_DIM, 100, settings("diffusion", "transformer").network).eval()
    x_BLW, bias_LHM = torch.randn(2, 4, 16), network.bias()
    other = x_BLW.clone()
    other[:, 2:] += 1
    before, after = network.blocks[0](x_BLW, bias_LHM, 4), network.blocks[0](other, bias_LHM, 4)
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2:], after[:, 2:], atol=1e-3)


MEAN, DEVIATION = torch.linspace(-1, 1, DIM), torch.linspace(0.25, 1.25, DIM)


class Optimal(torch.nn.Module):
    """The exact prediction when the data are Gaussian: each number with its own mean and deviation.

    For `x = a * clean + b * noise`: E[clean | x] = m + a v r and E[noise | x] = b r, r = (x - a m) / (a^2 v + b^2).
    """

    def __init__(self, model) -> None:
        super().__init__()
        self.method = model
        self.alphas_cumprod = getattr(getattr(model, "_schedule", None), "alphas_cumprod", None)
        self.time_steps = model._settings.time_steps

    def forward(self, condition_BE, noisy_BE, time_B):
        if self.alphas_cumprod is None:
            b = ((time_B + 1) / self.time_steps)[:, None]
            a = 1 - b
        else:
            a = self.alphas_cumprod[time_B][:, None].sqrt()
            b = (1 - a**2).sqrt()
        residual = (noisy_BE - a * MEAN) / (a**2 * DEVIATION**2 + b**2)
        clean, noise = MEAN + a * DEVIATION**2 * residual, b * residual
        return clean if self.alphas_cumprod is not None else noise - clean


# Few steps make a distribution a little too narrow, the more so the narrower it is: a property of the solver.
@pytest.mark.parametrize(
    ("method", "sampling", "narrowest"),
    [
        pytest.param("diffusion", SamplingSettings(scheduler="ddim", steps=200, eta=1.0), 0.93, marks=pytest.mark.slow),
        ("diffusion", SamplingSettings(scheduler="ddim", steps=200, eta=0.0), 0.93),
        ("diffusion", SamplingSettings(scheduler="dpm++", steps=10), 0.75),
        ("diffusion", SamplingSettings(), 0.87),
        ("diffusion", SamplingSettings(scheduler="dpm++", steps=25), 0.89),
        ("flow", SamplingSettings(scheduler="euler", steps=100), 0.93),
        ("flow", SamplingSettings(scheduler="euler", steps=20), 0.84),
        ("flow", SamplingSettings(scheduler="dpm++", steps=10), 0.82),
        ("flow", SamplingSettings(), 0.92),
    ],
    ids=lambda value: f"{value.scheduler}-{value.steps}-{value.eta}" if isinstance(value, SamplingSettings) else None,
)
def test_samplers_give_the_right_distribution(method, sampling, narrowest, monkeypatch):
    model = build(settings(method, "mlp"), DIM)
    model.network = Optimal(model)
    monkeypatch.setattr("v2a_core.mappers.denoising.normalize", lambda x: x)
    rows = 2048
    drawn = model.sample(torch.zeros(rows, DIM), list(range(rows)), sampling)
    assert ((drawn.mean(0) - MEAN).abs() < 4.5 * DEVIATION / rows**0.5).all()
    ratio = drawn.std(0) / DEVIATION
    assert ratio.min() > narrowest
    assert ratio.max() < 1.07


@pytest.mark.parametrize(("method", "wrong"), [("diffusion", "euler"), ("flow", "ddim")])
def test_a_solver_of_another_method_is_refused(method, wrong):
    with pytest.raises(ConfigError, match=rf"'{wrong}': a {method} mapper samples by \w+ \| dpm"):
        mapper(method, "mlp", SamplingSettings(scheduler=wrong))


def test_flow_follows_straight_paths():
    model = build(settings("flow", "mlp"), DIM)
    clean, noise = torch.randn(2, 3, DIM)
    halfway = torch.full((3,), 499)
    torch.testing.assert_close(model._noisy(clean, noise, halfway), (clean + noise) / 2)
    velocity = model._target(clean, noise)
    torch.testing.assert_close(model._noisy(clean, noise, halfway) - velocity / 2, clean)


def test_guidance_moves_away_from_the_unconditioned():
    plain = mapper("diffusion", "mlp", SamplingSettings(steps=8, eta=0.0))
    guided = mapper("diffusion", "mlp", SamplingSettings(steps=8, eta=0.0, mapper_guidance_scale=3.0))
    none = mapper("diffusion", "mlp", SamplingSettings(steps=8, eta=0.0, mapper_guidance_scale=0.0))
    seeds = [1, 2]
    assert not np.allclose(plain.map(frames(2), seeds), guided.map(frames(2), seeds), atol=1e-4)
    np.testing.assert_allclose(none.map(frames(2, 0), seeds), none.map(frames(2, 1), seeds), atol=1e-5)


@pytest.mark.parametrize(
    ("bad", "seeds", "message"),
    [
        ([np.zeros((0, VISION_DIM))], [1], r"segment 0: .*\(0, 24\)"),
        ([np.ones((2, VISION_DIM + 1))], [1], r"segment 0: .*\(2, 25\)"),
        ([np.full((2, VISION_DIM), np.nan)], [1], "segment 0: .*not finite"),
        ([np.ones((2, VISION_DIM))], [1, 2], "1 segments need as many seeds, not 2"),
    ],
)
def test_bad_frames_are_refused(bad, seeds, message):
    with pytest.raises(ValueError, match=message):
        mapper("regression", "mlp").map(bad, seeds)
