"""A small world of sound events that are seen and heard: scenes, pictures, sounds, captions, from a seed.

Pure numpy; the same seed and index give the same scene on every machine.
"""

from v2a_core.miniature.world.captions import caption, class_prompts
from v2a_core.miniature.world.config import WorldSettings, WriteSettings
from v2a_core.miniature.world.happenings import KINDS, Events, Happening
from v2a_core.miniature.world.render import iterate_frames, render_frames, render_sound, render_still
from v2a_core.miniature.world.scenes import SPLITS, Scene, sample

__all__ = [
    "KINDS",
    "SPLITS",
    "Events",
    "Happening",
    "Scene",
    "WorldSettings",
    "WriteSettings",
    "caption",
    "class_prompts",
    "iterate_frames",
    "render_frames",
    "render_sound",
    "render_still",
    "sample",
]
