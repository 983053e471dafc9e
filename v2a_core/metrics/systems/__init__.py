"""Metrics of whole sets of sounds, and of several systems side by side, over what networks found out about each sound.

Here belong sets of sounds by their ids, their features on disk, and formulas over two such sets with an interval from
leaving out groups of sources. What is heard, and by what, belongs to `v2a_core.metrics.extractors`. A new metric is a
file that registers itself, and a line here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2a_core.registry import Registry

if TYPE_CHECKING:
    from v2a_core.metrics.systems.base import SetMetric

_ROOM = "v2a_core.metrics.systems"

# In the order of the tables.
SET_METRICS: Registry[SetMetric] = Registry(
    "metric of sets",
    "v2a.set_metrics",
    {
        "clap_frechet": f"{_ROOM}.clap_sets",
        "fd_cnn14_16k": f"{_ROOM}.frechet_sets",
        "fd_cnn14_32k": f"{_ROOM}.frechet_sets",
        "fd_passt": f"{_ROOM}.frechet_sets",
        "fad_vggish": f"{_ROOM}.frechet_sets",
        "fd_infinity_cnn14_16k": f"{_ROOM}.infinity_sets",
        "fd_infinity_cnn14_32k": f"{_ROOM}.infinity_sets",
        "fad_infinity_vggish": f"{_ROOM}.infinity_sets",
        "kad_cnn14_16k": f"{_ROOM}.kernel_sets",
        "kad_cnn14_32k": f"{_ROOM}.kernel_sets",
        "kad_passt": f"{_ROOM}.kernel_sets",
        "kl_cnn14_16k": f"{_ROOM}.divergence",
        "kl_cnn14_32k": f"{_ROOM}.divergence",
        "kl_passt": f"{_ROOM}.divergence",
        "is_cnn14_16k": f"{_ROOM}.inception",
        "is_cnn14_32k": f"{_ROOM}.inception",
        "cs_wav2clip": f"{_ROOM}.clip_scores",
        "ib": f"{_ROOM}.imagebind_sets",
        "desync": f"{_ROOM}.desync_sets",
        "av_align": f"{_ROOM}.av_align_sets",
        "speech_leakage": f"{_ROOM}.leakage",
        "music_leakage": f"{_ROOM}.leakage",
    },
)
