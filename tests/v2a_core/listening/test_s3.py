"""A listening test in a bucket: systems, videos, page, key and answers, none of them on this machine."""

from __future__ import annotations

from pathlib import Path

import helpers_s3
import pytest
from helpers_listening import answered, page_data, save, write_systems
from helpers_s3 import reached

from v2a_core import storage
from v2a_core.config import ConfigError
from v2a_core.listening.making.config import MakingSettings
from v2a_core.listening.making.make import Wanted, make_test
from v2a_core.listening.scoring.config import ScoringSettings
from v2a_core.listening.scoring.score import score_test, write_scored
from v2a_core.media.config import GuardSettings
from v2a_core.storage import StorageAccess


@pytest.mark.slow
def test_everything_may_lie_in_a_bucket(s3_server, reach, tmp_path):
    write_systems(tmp_path / "files", ["one", "two"], ("ours", "other"))
    helpers_s3.upload(s3_server, "listening-test", tmp_path / "files")
    reach(StorageAccess(reached(s3_server)))
    bucket = "s3://listening-test"
    systems = {name: f"{bucket}/{name}" for name in ("ours", "other")}
    key_uri = f"{bucket}/page.key.json"
    wanted = Wanted(systems, f"{bucket}/page", key_uri, videos=f"{bucket}/videos", webmushra=f"{bucket}/mushra")
    made = make_test(wanted, MakingSettings(items=1, headphone_trials=1), GuardSettings())
    assert len(made.key.items) == 2
    assert len(storage.list_files(f"{bucket}/page/media", ".mp4")) == 4
    assert storage.exists(f"{bucket}/mushra/configs/{made.key.test}.yaml")
    with pytest.raises(ConfigError, match="a test gets a folder of its own"):
        make_test(wanted, MakingSettings(), GuardSettings())
    with storage.local_copy(made.page) as page:
        data = page_data(page)
    for number in range(2):
        path = save(tmp_path / "answers", number, answered(made.key, data, {"ours": 4, "other": 2}, number, spread=0.0))
        storage.upload(path, f"{bucket}/answers/{path.name}")
    scored = score_test([f"{bucket}/answers"], key_uri, ScoringSettings(resamples=50))
    assert [score.mean for score in scored.answered[0].opinions] == [4, 2]
    write_scored(scored, f"{bucket}/scored")
    assert storage.exists(f"{bucket}/scored/figure-5.png")
    assert not (Path.cwd() / "s3:").exists()
