"""What metrics are computed from: each extractor gives named columns of an evaluated segment. One file each.

A new one is a file that registers itself, with its settings if it has any, and a line here. The columns of those that
describe a segment are a part of the rows that `v2a evaluate` writes; a published network, or what is as slow as one,
has a folder of its own, with a row a sound, so that another one is added without hearing the others again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2a_core.registry import Registry

if TYPE_CHECKING:
    from v2a_core.metrics.extractors.base import BatchExtractor, SoundExtractor
    from v2a_core.metrics.extractors.folder import FolderExtractor

# In the order of the columns.
EXTRACTORS: Registry[type[SoundExtractor] | type[BatchExtractor] | type[FolderExtractor]] = Registry(
    "extractor",
    "v2a.extractors",
    {
        "clap": "v2a_core.metrics.extractors.clap",
        "text-similarity": "v2a_core.metrics.extractors.text_similarity",
        "judge": "v2a_core.metrics.extractors.verdicts",
        "onsets": "v2a_core.metrics.extractors.onsets",
        "pitch": "v2a_core.metrics.extractors.pitch",
        "tempo": "v2a_core.metrics.extractors.tempo",
        "level": "v2a_core.metrics.extractors.level",
        "cnn14-16k": "v2a_core.metrics.extractors.cnn14_16k",
        "cnn14-32k": "v2a_core.metrics.extractors.cnn14_32k",
        "vggish": "v2a_core.metrics.extractors.vggish",
        "wav2clip": "v2a_core.metrics.extractors.wav2clip",
        "passt": "v2a_core.metrics.extractors.passt",
        "imagebind": "v2a_core.metrics.extractors.imagebind",
        "imagebind-video": "v2a_core.metrics.extractors.imagebind_video",
        "synchformer": "v2a_core.metrics.extractors.synchformer",
        "synchformer-video": "v2a_core.metrics.extractors.synchformer_video",
        "librosa-onsets": "v2a_core.metrics.extractors.librosa_onsets",
        "motion": "v2a_core.metrics.extractors.motion",
    },
)
