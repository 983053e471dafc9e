"""Bundles: read, resolved from anywhere, verified, copied."""

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
import yaml
from helpers_models import blip_bundle, bundle, miniature

from v2a_core.config import CONFIG_ROOT, ConfigError
from v2a_core.encoders.clip import ClipSettings
from v2a_core.media.types import MediaSpec
from v2a_core.models import ModelError, fetch_bundle, load_bundle, show_bundle, sources

SHIPPED = sorted(path.stem for path in (CONFIG_ROOT / "models").glob("*.yaml"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and no hub."""
    monkeypatch.setenv("V2A_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A fetched copy of the miniature bundle: loadable without its cache."""
    folder = tmp_path_factory.mktemp("copy")
    source = load_bundle(str(miniature().vision.path.parents[1]))
    return folder, fetch_bundle(source, str(folder))


def write_bundle(folder, **changes):
    values = {
        "name": "mine",
        "vision": {"model": "ViT-miniature", "weights": "./vision"},
        "audio": {"weights": "./audio"},
        "generator": {"weights": "./generator"},
        **changes,
    }
    folder.mkdir(exist_ok=True)
    (folder / "bundle.yaml").write_text(yaml.safe_dump(values))
    return str(folder / "bundle.yaml")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_bundles_are_valid(name):
    found = load_bundle(name)
    assert found.name == name
    assert show_bundle(found)["generator"]["weights"]
    assert pickle.loads(pickle.dumps(found)) == found


def test_the_papers_bundles_are_there():
    assert {"miniature", "paper", "paper-s", "paper-l"} <= set(SHIPPED)


def test_reading_a_bundle_and_its_media_spec_loads_no_torch(copy):
    code = (
        "import sys; from v2a_core.models import load_bundle, show_bundle; "
        f"b = load_bundle({str(copy[0])!r}).resolve(); print(b.media_spec(), b.vision_space); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'open_clip', 'transformers', 'huggingface_hub')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "image_size=96" in done.stdout


def test_media_spec_comes_from_the_checkpoints_own_configs():
    assert bundle().media_spec() == MediaSpec(224, 48_000, 480_000, 16_000)
    assert miniature().media_spec() == MediaSpec(96, 16_000, 160_000, 16_000)


def test_overrides_replace_single_sources(copy):
    generator = str(copy[0] / "generator")
    found = load_bundle("paper", [f"generator.weights={generator}", "audio.config=HTSAT-base"])
    assert found.settings.generator.weights == generator
    assert found.settings.audio.config == "HTSAT-base"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision": {"model": "ViT-B-32", "weights": "openai"}}, "ViT-B-32-quickgelu"),
        ({"audio": {"weight": "x"}}, "weight"),
        ({"trained": "yes"}, "trained"),
        ({"name": "a/b"}, "name"),
    ],
)
def test_wrong_bundles_are_refused_before_anything_loads(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        load_bundle(write_bundle(tmp_path, **changes))


def test_a_bundle_that_sees_with_blip_is_fetched_whole(tmp_path):
    folder = blip_bundle().vision.path.parents[1]
    fetch_bundle(load_bundle(str(folder)), str(tmp_path / "copy"))
    local = load_bundle(str(tmp_path / "copy")).resolve()
    assert (local.vision.settings.encoder, local.vision_dim, local.media_spec().image_size) == ("blip", 24, 96)
    assert local.vision_space == blip_bundle().vision_space


def test_unknown_bundles_are_refused_with_the_known_names():
    with pytest.raises(ConfigError, match=r"miniature, paper, paper-blip, paper-l, paper-m, paper-s"):
        load_bundle("papre")
    with pytest.raises(ConfigError, match=r"memory://nowhere/bundle.yaml"):
        load_bundle("memory://nowhere")


def test_a_copy_is_the_same_models(copy):
    folder, checksums = copy
    for name in (str(folder), str(folder / "bundle.yaml"), f"file://{folder}"):
        local = load_bundle(name).resolve()
        assert local.fingerprints() == miniature().fingerprints()
        assert (local.vision_space, local.audio_space) == (miniature().vision_space, miniature().audio_space)
        assert local.vision.path.is_relative_to(folder)
        assert not local.trained
    assert {"vision/open_clip_config.json", "audio/clap_config.json", "generator/model_index.json"} <= set(checksums)


def test_a_bucket_is_copied_to_the_cache_once(copy, cache, monkeypatch):
    source = load_bundle(str(copy[0]))
    fetch_bundle(source, "memory://bucket/models/miniature")
    remote = load_bundle("memory://bucket/models/miniature/bundle.yaml")
    local = remote.resolve()
    assert local.vision.path.is_relative_to(cache)
    assert local.fingerprints() == miniature().fingerprints()
    assert local.media_spec() == miniature().media_spec()
    # With checksums the cache answers without the bucket.
    fsspec.filesystem("memory").rm("/bucket", recursive=True)
    assert remote.resolve() == local


def test_without_checksums_new_content_is_fetched_again(copy, cache):
    memory = fsspec.filesystem("memory")
    memory.put(f"{copy[0]}/", "/plain/", recursive=True)
    memory.rm("/plain/checksums.json")
    first = load_bundle("memory://plain").resolve()
    memory.pipe_file("/plain/vision/open_clip_model.safetensors", b"other weights")
    second = load_bundle("memory://plain").resolve()
    assert second.vision.path.read_bytes() == b"other weights"
    assert first.vision.path != second.vision.path
    assert first.generator_path == second.generator_path


@pytest.mark.parametrize("where", ["local", "remote"])
def test_changed_weights_are_refused_by_checksum(copy, cache, tmp_path, where):
    folder = tmp_path / "broken"
    shutil.copytree(copy[0], folder)
    with (folder / "audio" / "clap_miniature.pt").open("r+b") as file:
        file.seek(1000)
        file.write(b"flipped")
    name = str(folder)
    if where == "remote":
        fsspec.filesystem("memory").put(f"{folder}/", "/broken/", recursive=True)
        name = "memory://broken"
    with pytest.raises(ModelError, match=r"clap_miniature.pt is damaged or was changed"):
        load_bundle(name).resolve()
    assert not list(cache.glob("models/audio-*"))


def test_weights_may_lie_in_an_installed_package(tmp_path):
    shipped = load_bundle("miniature")
    assert shipped.settings.root == "package:v2a_core/miniature/weights"
    elsewhere = tmp_path / "bundle.yaml"
    elsewhere.write_text((CONFIG_ROOT / "models" / "miniature.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert load_bundle(str(elsewhere)).resolve().audio.path == shipped.resolve().audio.path
    with pytest.raises(ConfigError, match=r"'package:no_such_package/weights': no package 'no_such_package'"):
        load_bundle(str(elsewhere), ["root=package:no_such_package/weights"]).resolve()


def test_a_missing_file_is_refused_by_checksum(copy, tmp_path):
    folder = tmp_path / "incomplete"
    shutil.copytree(copy[0], folder)
    (folder / "generator" / "vocoder" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"vocoder/config.json is missing"):
        load_bundle(str(folder)).resolve()


def test_a_hub_out_of_reach_is_explained(tmp_path):
    for weights in ("cvssp/audioldm-s-full-v2", "cvssp/audioldm:model.safetensors"):
        found = load_bundle(write_bundle(tmp_path / "b", generator={"weights": weights}, root=str(tmp_path)))
        with pytest.raises(ModelError, match=rf"could not fetch {weights} for generator.*\n.*v2a models fetch"):
            sources.Finder("generator").find(found.settings.generator.weights)


def test_a_web_server_out_of_reach_is_explained():
    with pytest.raises(
        ModelError,
        match=r"could not fetch http://127.0.0.1:9/clap.ckpt.* for audio: .*Connect call failed.*\n.*models fetch",
    ):
        sources.Finder("audio").find("http://127.0.0.1:9/clap.ckpt?download=1")


def test_sources_that_are_nothing_are_refused(tmp_path):
    for source in ("./no-such-folder", "/no/such/file.pt", str(tmp_path / "none.pt")):
        with pytest.raises(ModelError, match=r"no such file or folder"):
            sources.Finder("audio", str(tmp_path)).find(source)
    with pytest.raises(ModelError, match=r"its tags: openai"):
        ClipSettings(model="ViT-B-32-quickgelu", weights="open-ai").find(sources.Finder("vision"))
    with pytest.raises(ModelError, match=r"without weights"):
        sources.Finder("audio").weight_file(str(tmp_path))
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=r"several weight files \(a.pt, b.pt\): name one"):
        sources.Finder("audio").weight_file(str(tmp_path))


def test_the_name_and_the_config_beside_must_agree(copy):
    folder = copy[0]
    local = load_bundle(str(folder), ["vision.model=ViT-B-32"]).resolve()
    with pytest.raises(ModelError, match=r"vision.model = 'ViT-B-32' has quick_gelu False, but .* says True"):
        local.media_spec()
    unknown = bundle(clip_model="ViT-unknown")
    with pytest.raises(ModelError, match=r"knows no model 'ViT-unknown'"):
        unknown.media_spec()


def _resolve(cache, start, results):
    os.environ["V2A_CACHE"] = cache
    start.wait()

    def fill(folder):
        (folder / "weights").write_bytes(os.urandom(2_000_000))

    results.put((sources.in_cache("shared", fill) / "weights").read_bytes())


def test_processes_that_start_together_make_one_copy(cache):
    (cache / "models").mkdir(parents=True)
    (cache / "models" / ".shared.dead.part").mkdir()  # of a process that was killed
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    processes = [context.Process(target=_resolve, args=(str(cache), start, results)) for _ in range(4)]
    for process in processes:
        process.start()
    start.set()
    contents = {results.get(timeout=30) for _ in processes}
    for process in processes:
        process.join(timeout=30)
    assert len(contents) == 1
    assert [path.name for path in (cache / "models").iterdir() if path.is_dir()] == ["shared"]


def test_what_fails_half_way_leaves_nothing(cache):
    def fill(folder):
        (folder / "half").touch()
        raise ModelError("the line broke")

    with pytest.raises(ModelError, match=r"the line broke"):
        sources.in_cache("broken", fill)
    assert not [path for path in (cache / "models").iterdir() if path.is_dir()]


def test_show_tells_where_and_what(copy):
    shown = show_bundle(load_bundle(str(copy[0])), resolve=True)
    assert Path(shown["audio"]["path"]).name == "clap_miniature.pt"
    assert shown["spaces"]["audio"].startswith("HTSAT-miniature+sinc:")
    assert shown["media"]["image_size"] == 96
    assert shown["trained"] is False


def test_relative_weights_are_found_from_another_folder(tmp_path, monkeypatch):
    local = load_bundle("miniature").resolve()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "weights").symlink_to(local.vision.path.parent.parent)
    shipped = local.vision.path.parent.parent
    relative = {
        name: f"weights/{path.relative_to(shipped)}"
        for name, path in (
            ("vision", local.vision.path),
            ("audio", local.audio.path),
            ("generator", local.generator_path),
        )
    }
    (tmp_path / "here" / "own.yaml").write_text(
        f"name: own\nvision: {{model: ViT-miniature, weights: {relative['vision']}}}\n"
        f"audio: {{weights: {relative['audio']}}}\ngenerator: {{weights: {relative['generator']}}}\n"
        "adapter: {weights: weights/adapter}\npredictor: {weights: weights/predictor}\n"
    )
    monkeypatch.chdir(tmp_path / "here")
    bundle = load_bundle("own.yaml")
    monkeypatch.chdir(tmp_path)
    assert bundle.resolve().fingerprints() == local.fingerprints()
