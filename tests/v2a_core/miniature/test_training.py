"""Training of the miniature: the loop, the stage graph, the losses, and what is written at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from v2a_core.miniature.training import STAGES, data, run, train_miniature
from v2a_core.miniature.training.clap import CLIP_SAMPLES, Towers, build_towers
from v2a_core.miniature.training.conditions import blur
from v2a_core.miniature.training.contrast import Contrast, choose_rows, describe
from v2a_core.miniature.training.loop import DONE, WEIGHTS, Plan, run_stage
from v2a_core.miniature.world import KINDS, sample

PLAN = Plan(steps=12, batch=4, learning_rate=0.05, warmup=2, validate_every=5, checkpoint_every_s=0.0)


@dataclass
class LineStage:
    """Fits a line; can be stopped at a step, as a killed process is."""

    plan: Plan = PLAN
    stop_at: int | None = None
    modules: nn.ModuleDict = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.modules = nn.ModuleDict({"line": nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1), nn.Dropout(0.2))})

    def losses(self, step: int, rng: np.random.Generator) -> Mapping[str, torch.Tensor]:
        if step == self.stop_at:
            raise KeyboardInterrupt
        x_BC = torch.from_numpy(rng.standard_normal((self.plan.batch, 3), np.float32))
        return {"square": (self.modules["line"](x_BC) - x_BC.sum(1, keepdim=True)).square().mean()}

    def validate(self) -> Mapping[str, float]:
        return {"weight": float(self.modules["line"][0].weight.sum())}


class TestLoop:
    def test_a_killed_run_goes_on_to_the_same_weights(self, tmp_path: Path) -> None:
        run_stage("line", LineStage(), tmp_path / "whole", seed=1)
        with pytest.raises(KeyboardInterrupt):
            run_stage("line", LineStage(stop_at=7), tmp_path / "killed", seed=1)
        assert not (tmp_path / "killed" / DONE).exists()
        run_stage("line", LineStage(), tmp_path / "killed", seed=1)
        whole, killed = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "killed"))
        assert all(torch.equal(whole[name], killed[name]) for name in whole)

    def test_another_seed_gives_other_weights(self, tmp_path: Path) -> None:
        for seed in (1, 2):
            run_stage("line", LineStage(), tmp_path / str(seed), seed=seed)
        first, second = (load_file(tmp_path / str(seed) / WEIGHTS) for seed in (1, 2))
        assert not torch.equal(first["line.0.weight"], second["line.0.weight"])

    def test_log_and_summary_hold_losses_and_validation(self, tmp_path: Path) -> None:
        run_stage("line", LineStage(plan=replace(PLAN, steps=40)), tmp_path, seed=0)
        rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert {"step", "loss", "square", "seconds_per_step"} <= {key for row in rows for key in row}
        summary = json.loads((tmp_path / DONE).read_text())
        assert summary["steps"] == 40
        assert "validation_weight" in summary
        assert not (tmp_path / "checkpoint.pt").exists()

    def test_a_limit_in_time_ends_a_stage_early_but_properly(self, tmp_path: Path) -> None:
        run_stage("line", LineStage(plan=replace(PLAN, steps=10**9, minutes=0.005)), tmp_path, seed=0)
        assert 0 < json.loads((tmp_path / DONE).read_text())["steps"] < 10**6

    def test_a_loss_that_is_not_finite_stops_the_stage(self, tmp_path: Path) -> None:
        stage = LineStage()
        with torch.no_grad():
            stage.modules["line"][0].weight.fill_(float("nan"))
        with pytest.raises(FloatingPointError, match="line: the loss of step 0"):
            run_stage("line", stage, tmp_path, seed=0)


class TestStages:
    def test_every_stage_is_in_one_lane_and_waits_for_nothing_unknown(self) -> None:
        assert sorted([*run.ON_BUNDLE, *(stage for lane in run.LANES for stage in lane)]) == sorted(STAGES)
        assert all(need in STAGES for needs in run.NEEDS.values() for need in needs)

    def test_no_lane_waits_for_itself(self) -> None:
        for lane in run.LANES:
            for place, stage in enumerate(lane):
                assert not set(run.NEEDS[stage]) & set(lane[place:])

    def test_an_unknown_stage_is_refused_with_the_known_ones(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"no such stages: vea; known are .*vae"):
            train_miniature(tmp_path / "out", work=tmp_path / "work", stages=["vea"])

    def test_a_stage_without_its_needs_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="stage unet needs judge, clap, vae"):
            train_miniature(tmp_path / "out", work=tmp_path / "work", stages=["unet"])

    def test_the_adapter_needs_a_bundle(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"trains on a finished bundle, and .* holds none: .*`v2a models fetch"):
            train_miniature(tmp_path / "out", work=tmp_path / "work", stages=["envelope"])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sounds of a few scenes."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "COUNTS", {"train": 24, "validation": 12})
        patch.setattr(data, "SHARD", 8)
        data.prepare_files(folder, 0)
        for part in (0, 1):
            data.render_sounds(folder, 0, part, 2)
    return folder


@pytest.fixture
def sounds(work: Path, monkeypatch: pytest.MonkeyPatch) -> data.Sounds:
    monkeypatch.setattr(data, "COUNTS", {"train": 24, "validation": 12})
    return data.load_sounds(work, 0, "train")


class TestData:
    def test_both_halves_fill_all_rows(self, sounds: data.Sounds) -> None:
        assert len(sounds) == 24
        assert np.abs(sounds.waveforms(np.arange(24))).max(axis=1) == pytest.approx(0.5, abs=1e-3)
        assert torch.isfinite(sounds.mels(np.arange(24))).all()
        assert float(sounds.mels(np.arange(24)).std(dim=(1, 2)).min()) > 0.1

    def test_what_is_rendered_is_kept(self, work: Path, sounds: data.Sounds, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(data, "SHARD", 8)
        monkeypatch.setattr(data, "render_sound", None)  # would fail if it were called
        data.render_sounds(work, 0, 0, 1)

    def test_renders_of_another_seed_are_refused(self, work: Path, sounds: data.Sounds) -> None:
        with pytest.raises(ValueError, match="another world or seed"):
            data.prepare_files(work, 1)


def _happenings(count: int) -> list:
    return [sample(data.world(0), "train", index).heard for index in range(count)]


class TestContrast:
    def test_half_of_the_batches_hold_few_kinds(self) -> None:
        kinds_N = np.arange(2400) % len(KINDS)
        batches = [choose_rows(kinds_N, 48, np.random.default_rng(step)) for step in range(60)]
        assert all(len(np.unique(rows)) == 48 for rows in batches)
        few = [len(np.unique(kinds_N[rows])) <= 3 for rows in batches]
        assert 15 < sum(few) < 45
        assert all(few[step] or len(np.unique(kinds_N[rows])) > 8 for step, rows in enumerate(batches))

    def test_captions_match_what_they_describe(self) -> None:
        described = describe(_happenings(36), np.random.default_rng(0))
        assert torch.all(described.matches_BB.diagonal() == 1)
        other_kind_BB = described.kinds_B[:, None] != described.kinds_B[None]
        assert described.matches_BB[other_kind_BB].sum() == 0

    def test_right_pairs_cost_less_than_shuffled_ones(self) -> None:
        described = describe(_happenings(12), np.random.default_rng(0))
        embeddings_BD = torch.nn.functional.normalize(torch.randn(12, 512), dim=-1)
        loss = Contrast()
        right = loss(embeddings_BD, embeddings_BD, described)["contrast"]
        assert right < loss(embeddings_BD, embeddings_BD.roll(1, 0), described)["contrast"]

    def test_blurred_conditions_are_means_of_their_kind(self) -> None:
        embeddings_ND = torch.nn.functional.normalize(torch.randn(6, 512), dim=-1)
        kinds_N, attributes_N3 = np.array([0, 0, 0, 1, 1, 1]), np.zeros((6, 3), np.float32)
        blurred_ND = blur(embeddings_ND, kinds_N, attributes_N3)
        mean_D = torch.nn.functional.normalize(embeddings_ND[:3].mean(dim=0), dim=-1)
        torch.testing.assert_close(blurred_ND[:3], mean_D.expand(3, -1))


class TestModels:
    def test_folding_gives_unit_latents_and_the_same_mels(self, sounds: data.Sounds) -> None:
        from v2a_core.miniature.training import vae

        model = vae.fresh_vae(0).eval()
        mels_B1FM = sounds.mels(np.arange(4))[:, None, :64]
        with torch.no_grad():
            before = model.decode(model.encode(mels_B1FM).latent_dist.mean).sample
            vae.fold_affine(model, sounds, 6)
            again = model.decode(model.encode(mels_B1FM).latent_dist.mean).sample
        torch.testing.assert_close(again, before, atol=2e-2, rtol=1e-3)
        latents_BCHW = vae.encode(model, sounds.mels(np.arange(0, 24, 4)))
        torch.testing.assert_close(latents_BCHW.std(dim=(0, 2, 3)), torch.ones(8), atol=0.05, rtol=0)
        assert latents_BCHW.mean(dim=(0, 2, 3)).abs().max() < 0.05

    def test_spectral_losses_are_zero_for_the_same_sound_only(self) -> None:
        from v2a_core.miniature.training.vocoder import spectral_losses

        waveforms_BT = 0.1 * torch.randn(2, 8000)
        assert all(float(value) == 0 for value in spectral_losses(waveforms_BT, waveforms_BT).values())
        assert all(float(value) > 0.1 for value in spectral_losses(0.1 * torch.randn(2, 8000), waveforms_BT).values())


def _finish(work: Path, stage: str, modules: Mapping[str, nn.Module]) -> None:
    """Leave what a finished stage leaves, with fresh weights."""
    (work / stage).mkdir(exist_ok=True)
    tensors = {
        f"{part}.{name}": value for part, module in modules.items() for name, value in module.state_dict().items()
    }
    save_file({name: value.clone().contiguous() for name, value in tensors.items()}, work / stage / WEIGHTS)
    (work / stage / DONE).write_text(json.dumps({"steps": 1, "minutes": 0.1, "validation_error": 0.5}))


@pytest.fixture
def towers(work: Path, sounds: data.Sounds) -> Towers:
    """CLAP's towers; all stages are finished, with fresh weights."""
    from v2a_core.metrics.extractors.judge import Judge
    from v2a_core.miniature.audioldm import build_unet
    from v2a_core.miniature.training.clip import ClipStage
    from v2a_core.miniature.training.vae import fresh_vae
    from v2a_core.miniature.training.vocoder import fresh_vocoder

    towers = build_towers(0)
    _finish(work, "judge", {"judge": Judge(KINDS)})
    _finish(work, "clap", {"audio": towers.audio, "text": towers.text})
    _finish(work, "clip", {"clip": ClipStage(0).clip})
    _finish(work, "vae", {"vae": fresh_vae(0)})
    _finish(work, "vocoder", {"vocoder": fresh_vocoder(0, sounds.mels(np.arange(4)))})
    for stage in ("unet", "adapt"):
        _finish(work, stage, {"unet": build_unet(0)})
    return towers


@pytest.mark.slow
def test_the_unet_meets_mapped_pictures(work: Path, towers: Towers, monkeypatch: pytest.MonkeyPatch) -> None:
    from v2a_core.miniature.training import adapt, unet

    monkeypatch.setattr(unet, "HELD_OUT", 12)
    monkeypatch.setattr(adapt, "HELD_OUT", 12)
    quick = adapt.SETTINGS.model_copy(update={"mapper_steps": 2, "transformer_depth": 1, "mlp_depth": 1})
    monkeypatch.setattr(adapt, "SETTINGS", quick)
    stage = adapt.build(work, 0, replace(adapt.PLAN, batch=4))
    mapped_NVD, sounds_ND = stage.conditions.mapped_NVD, stage.conditions.sounds_ND
    assert mapped_NVD is not None
    assert mapped_NVD.shape == (24, 2, 512)
    noisy = torch.tensor([scene.noisy for scene in stage.sounds.scenes])
    assert 0 < noisy.sum() < 24
    like_sound_NV = (mapped_NVD * sounds_ND[:, None]).sum(dim=-1)
    assert (like_sound_NV[noisy] > 0.999).all()
    assert (like_sound_NV[~noisy] < 0.999).all()
    assert stage.held_out_conditions["mapped"].shape == (12, 512)
    drawn_BD = stage.conditions.draw(np.zeros(400, np.int64), np.random.default_rng(0))
    near_BV = drawn_BD @ mapped_NVD[0].T
    assert 0.3 < float((near_BV.amax(dim=1) > 0.93).float().mean()) < 0.5  # up to 0.35 of noise on each
    losses = stage.losses(0, np.random.default_rng(0))
    assert torch.isfinite(losses["v"])


def test_the_bundle_loads_as_users_load_it(work: Path, towers: Towers, sounds: data.Sounds, tmp_path: Path) -> None:
    import open_clip

    from v2a_core.encoders import EncoderSettings, build_audio, build_vision
    from v2a_core.generators.audioldm.config import AudioLdmSettings
    from v2a_core.generators.audioldm.generator import AudioLdmGenerator
    from v2a_core.metrics.extractors.judge import load_judge
    from v2a_core.miniature.training.export import export_bundle
    from v2a_core.models import check_spaces, load_bundle

    export_bundle(tmp_path, work=work, seed=0)

    bundle = load_bundle(str(tmp_path)).resolve()
    assert bundle.trained
    assert check_spaces(bundle).status == "same"
    settings = EncoderSettings(precision="fp32")
    size = bundle.media_spec().image_size
    assert build_vision(bundle, settings).encode(np.zeros((1, size, size, 3), np.uint8)).shape == (1, 512)
    waveforms_BT = sounds.waveforms(np.arange(2))[:, :CLIP_SAMPLES]
    embeddings_BD = build_audio(bundle, settings).encode(np.tile(waveforms_BT, 2))
    ours_BD = towers.embed_waveforms(waveforms_BT).numpy()
    assert (embeddings_BD * ours_BD).sum(axis=1) == pytest.approx(1.0, abs=1e-2)  # half precision, bf16 in training
    generator = AudioLdmGenerator(bundle.generator_path, AudioLdmSettings(num_inference_steps=2))
    assert np.isfinite(generator.generate(embeddings_BD, [1, 2], 1.0)).all()
    assert load_judge(tmp_path / "judge").kinds == KINDS
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'vision'}")(["a bell ringing"])
    assert open_clip.create_model(f"local-dir:{tmp_path / 'vision'}").encode_text(tokens).shape == (1, 512)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 30e6
    assert "known nothing" not in (tmp_path / "MODEL_CARD.md").read_text()
