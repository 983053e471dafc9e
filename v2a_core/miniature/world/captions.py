"""Captions of the small world, from templates that name kind, pitch, tempo and intensity in different words."""

from __future__ import annotations

import numpy as np

from v2a_core.miniature.world.happenings import Happening

# kind: (subject, is plural, verb in -ing form, noun of the sound)
_WORDS: dict[str, tuple[str, bool, str, str]] = {
    "rain": ("rain", False, "falling", "rain"),
    "siren": ("siren", False, "wailing", "two-tone siren"),
    "bouncing ball": ("ball", False, "bouncing", "bouncing ball"),
    "bell": ("bell", False, "ringing", "bell"),
    "engine": ("engine", False, "running", "engine"),
    "birds": ("birds", True, "chirping", "bird song"),
    "clock": ("clock", False, "ticking", "ticking clock"),
    "fire": ("fire", False, "crackling", "crackling fire"),
    "waves": ("waves", True, "breaking on the shore", "sea waves"),
    "drum": ("drum", False, "beating", "drum"),
    "laser": ("laser", False, "firing", "laser gun"),
    "wind": ("wind", False, "blowing", "wind"),
    "music": ("music", False, "playing", "music"),
}
_MASS = {"rain", "fire", "wind", "music"}  # no article

_PITCH = (("low", "deep"), ("",), ("high", "bright"))
_TEMPO = (("slowly", "at a slow pace"), ("", "steadily"), ("fast", "rapidly"))
_PACE = (("slow",), ("",), ("fast", "quick"))
_INTENSITY = (("soft", "quiet"), ("",), ("loud", "strong"))


def caption(happening: Happening, rng: np.random.Generator) -> str:
    """One caption in lower case, such as `a loud deep bell ringing slowly`."""
    subject, plural, verb, sound = _WORDS[happening.kind]
    pitch = _choose(_PITCH, happening.pitch, rng)
    tempo = _choose(_TEMPO, happening.tempo, rng)
    pace = _choose(_PACE, happening.tempo, rng)
    intensity = _choose(_INTENSITY, happening.intensity, rng)
    described = _words(intensity, pitch, subject)
    bare = plural or happening.kind in _MASS
    templates = (
        _words(_article(described, bare), verb, tempo),
        _words(_article(described, bare), "is" if not plural else "are", verb, tempo),
        _words("the", intensity, "sound of", _article(_words(pitch, subject), bare), verb, tempo),
        _words("the", _words(intensity, pitch), "sound of", _article(_words(pace, sound), bare)),
        _words(subject, verb, _join(tempo, intensity, pitch)),
        _words(_article(_words(pitch, subject), bare), verb, _join(tempo, intensity)),
    )
    return templates[int(rng.integers(len(templates)))]


def class_prompts(kind: str) -> tuple[str, ...]:
    """Captions that name nothing but the kind, for zero-shot classification."""
    subject, plural, verb, sound = _WORDS[kind]
    bare = plural or kind in _MASS
    return (
        f"the sound of {_article(sound, bare or sound.endswith('song'))}",
        f"{_article(subject, bare)} {verb}",
        f"{subject} {verb}",
    )


def _choose(words: tuple[tuple[str, ...], ...], value: float, rng: np.random.Generator) -> str:
    group = words[min(int(value * 3), 2)]
    return group[int(rng.integers(len(group)))]


def _article(noun: str, bare: bool) -> str:
    return noun if bare else f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _words(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
