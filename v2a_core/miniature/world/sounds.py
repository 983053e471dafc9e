"""The sound of each kind: one function a kind, from a `Sound` to float64 (T,) with a nominal peak of 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from v2a_core.miniature.world.happenings import UNRELATED, FloatArray, between
from v2a_core.miniature.world.synthesis import Sound, band, below, strike


def rain(sound: Sound) -> FloatArray:
    """A hiss whose band follows the pitch, and drops that are heard one by one."""
    happening = sound.happening
    centre_hz = between(900, 4200, happening.pitch)
    jitter = happening.rng("drops").uniform(0.7, 1.4, len(sound.events.times_s))

    def drop(times_s: FloatArray, number: int) -> FloatArray:
        frequency_hz = 0.6 * centre_hz * jitter[number] * (1 + 8 * times_s)
        return sound.sweep(frequency_hz) * strike(times_s, 0.001, 0.007)

    hiss = sound.noise("hiss", band(centre_hz, 0.9))
    return (0.45 + 0.2 * happening.tempo) * hiss + 1.1 * sound.grains(drop, 0.05)


def siren(sound: Sound) -> FloatArray:
    """Two tones a fourth apart that take turns at the events."""
    low_hz = between(380, 1000, sound.happening.pitch)
    number = np.searchsorted(sound.events.times_s, sound.times_s, side="right")
    frequency_hz = low_hz * np.where(number % 2 == 0, 1.0, 4 / 3)
    glide = np.ones(max(1, int(0.02 * sound.rate))) / max(1, int(0.02 * sound.rate))
    padded = np.concatenate([np.full(len(glide) - 1, frequency_hz[0]), frequency_hz])
    phase = sound.oscillate(np.convolve(padded, glide, mode="valid"))
    # A horn: the first five odd and even harmonics, falling.
    horn = sum(np.sin(k * phase) * (low_hz * k * 1.34 < 0.47 * sound.rate) / k**1.2 for k in range(1, 6))
    return 0.5 * np.asarray(horn)


def bouncing_ball(sound: Sound) -> FloatArray:
    """A rubbery thud at each bounce: a tone that springs up and stays, with a click of contact."""
    base_hz = between(170, 560, sound.happening.pitch)
    click = sound.noise("click", band(8 * base_hz, 0.7))[: int(0.4 * sound.rate)]

    def thud(times_s: FloatArray, number: int) -> FloatArray:
        frequency_hz = base_hz * (1.25 - 0.5 * np.exp(-times_s / 0.025))
        phase = sound.oscillate(frequency_hz)
        body: FloatArray = (np.sin(phase) + 0.35 * np.sin(2 * phase)) * strike(times_s, 0.003, 0.07)
        contact = 0.5 * strike(times_s, 0.0005, 0.004)
        contact[: len(click)] *= click[: len(contact)]
        return body + contact

    return 0.75 * sound.grains(thud, 0.4)


def bell(sound: Sound) -> FloatArray:
    """Partials of a church bell (hum, prime, tierce, quint, nominal and above) that ring for seconds."""
    prime_hz = between(300, 1150, sound.happening.pitch)
    partials = (
        (0.5, 0.35, 1.6), (1.0, 0.8, 1.2), (1.19, 0.5, 0.9), (1.5, 0.35, 0.7),
        (2.0, 0.9, 0.8), (2.74, 0.4, 0.4), (3.76, 0.3, 0.25), (5.1, 0.2, 0.15),
    )  # fmt: skip
    length_s = min(3.0, sound.samples / sound.rate)
    times_s = np.arange(int(length_s * sound.rate)) / sound.rate
    ring = np.zeros_like(times_s)
    for ratio, gain, decay_s in partials:
        ring += gain * sound.tone(ratio * prime_hz, times_s) * np.exp(-times_s / decay_s)
    ring *= np.minimum(times_s / 0.002, 1)
    return 0.3 * sound.grains(lambda _times_s, _number: ring, length_s)


def engine(sound: Sound) -> FloatArray:
    """A train of firing pulses, louder and a little faster at each chug."""
    firing_hz = between(34, 110, sound.happening.pitch)
    chug = sound.envelope(0.012, 0.35 / sound.happening.rate_hz)
    phase = sound.oscillate(firing_hz * (1 + 0.06 * chug))
    # exp(k (cos - 1)) is a smooth pulse with harmonics up to about sqrt(k) times the firing rate.
    pulses: FloatArray = np.exp(14 * (np.cos(phase) - 1)) - 0.11
    growl = sound.noise("growl", band(5 * firing_hz, 0.8)) * (0.4 + 0.6 * np.maximum(np.sin(phase), 0))
    return (0.3 + 0.9 * chug) * (0.9 * pulses + 0.5 * growl)


def birds(sound: Sound) -> FloatArray:
    """Chirps: a warbling whistle that slides up or down."""
    happening = sound.happening
    centre_hz = between(1900, 4800, happening.pitch)
    rng = happening.rng("chirps")
    slides = rng.uniform(-0.25, 0.25, len(sound.events.times_s))
    warbles = happening.rng("warble").uniform(22, 34)

    def chirp(times_s: FloatArray, number: int) -> FloatArray:
        shape = 1 + slides[number] * (times_s / 0.12 - 0.5) + 0.09 * np.sin(2 * np.pi * warbles * times_s)
        fade: FloatArray = np.sin(np.pi * np.clip(times_s / 0.12, 0, 1)) ** 0.6
        return sound.sweep(centre_hz * shape) * fade

    return 0.9 * sound.grains(chirp, 0.12)


def clock(sound: Sound) -> FloatArray:
    """Dry ticks and tocks: three damped modes each."""
    base_hz = between(1000, 3000, sound.happening.pitch)

    def tick(times_s: FloatArray, number: int) -> FloatArray:
        mode_hz = base_hz * (1.0 if number % 2 == 0 else 0.8)
        modes = sum(sound.tone(ratio * mode_hz, times_s) / ratio for ratio in (1.0, 1.52, 2.31))
        return np.asarray(modes) * strike(times_s, 0.0004, 0.008)

    return 0.75 * sound.grains(tick, 0.06)


def fire(sound: Sound) -> FloatArray:
    """A low roar that flutters, and crackles."""
    happening = sound.happening
    centre_hz = between(700, 3600, happening.pitch)
    source = sound.noise("crackle", band(centre_hz, 0.45))
    decays_s = happening.rng("decays").uniform(0.004, 0.014, len(sound.events.times_s))
    offsets = happening.rng("offsets").random(len(sound.events.times_s))
    loudness = happening.rng("snaps").random(len(sound.events.times_s)) ** 2
    length = int(0.08 * sound.rate)

    def crackle(times_s: FloatArray, number: int) -> FloatArray:
        start = int(offsets[number] * max(1, min(len(source), sound.rate) - length))
        burst = np.resize(source[start : start + length], len(times_s))
        snap: FloatArray = (0.7 + 1.3 * loudness[number]) * burst * strike(times_s, 0.0004, decays_s[number])
        return snap

    flutter: FloatArray = 0.7 + 0.3 * np.sin(
        2 * np.pi * 5.5 * sound.times_s + 3 * np.sin(2 * np.pi * 1.3 * sound.times_s)
    )
    roar = sound.noise("roar", band(between(110, 260, happening.pitch), 0.6)) * flutter
    return 0.4 * roar + 0.9 * sound.grains(crackle, 0.08)


def waves(sound: Sound) -> FloatArray:
    """Breakers: broad noise that crashes and runs out, over the murmur of the sea."""
    cutoff_hz = between(350, 2600, sound.happening.pitch)
    breaker = sound.envelope(0.09, 0.4 / sound.happening.rate_hz)
    wash = sound.noise("wash", below(cutoff_hz)) * breaker
    murmur = sound.noise("murmur", below(cutoff_hz / 2))
    return 1.1 * wash + 0.12 * murmur


def drum(sound: Sound) -> FloatArray:
    """A membrane whose tone drops, with the rattle of a snare; every fourth stroke is accented."""
    base_hz = between(62, 190, sound.happening.pitch)
    rattle = np.resize(sound.noise("rattle", band(18 * base_hz, 0.7)), int(0.5 * sound.rate))

    def stroke(times_s: FloatArray, number: int) -> FloatArray:
        frequency_hz = base_hz * (1 + 0.9 * np.exp(-times_s / 0.03))
        membrane = np.sin(sound.oscillate(frequency_hz)) * strike(times_s, 0.002, 0.14)
        snare = 0.55 * rattle[: len(times_s)] * strike(times_s, 0.001, 0.05)
        return (1.0 if number % 4 == 0 else 0.7) * (membrane + snare)

    return 0.9 * sound.grains(stroke, 0.5)


def laser(sound: Sound) -> FloatArray:
    """Shots that fall three octaves in a fifth of a second."""
    top_hz = between(1500, 5400, sound.happening.pitch)

    def shot(times_s: FloatArray, number: int) -> FloatArray:
        falling_hz = top_hz * 2 ** (-3 * np.minimum(times_s / 0.22, 1))
        buzz = sound.sweep(falling_hz) + 0.33 * sound.sweep(3 * falling_hz)
        bolt: FloatArray = buzz * np.minimum(times_s / 0.002, 1) * np.clip((0.24 - times_s) / 0.2, 0, 1)
        return bolt

    return 0.75 * sound.grains(shot, 0.24)


def wind(sound: Sound) -> FloatArray:
    """A whistle of noise that rises and swells with each gust."""
    gust = sound.envelope(0.18, 0.35 / sound.happening.rate_hz)
    smooth = int(0.1 * sound.rate)
    gust = np.convolve(np.concatenate([np.zeros(smooth - 1), gust]), np.ones(smooth) / smooth, mode="valid")
    centre_hz = between(320, 1500, sound.happening.pitch)
    # Noise of a narrow band around 0 Hz, moved to a frequency that changes: a resonance that glides.
    phase = sound.oscillate(centre_hz * (0.85 + 0.4 * gust))
    narrow = below(0.09 * centre_hz)
    whistle: FloatArray = sound.noise("real", narrow) * np.cos(phase) + sound.noise("imaginary", narrow) * np.sin(phase)
    return (0.15 + 0.95 * gust) * whistle


def music(sound: Sound) -> FloatArray:
    """Broken chords on an organ: what somebody laid over a video that has nothing to do with it."""
    base_hz = between(150, 300, sound.happening.pitch)
    steps = (0, 4, 7, 12, 9, 5, 7, 2)

    def note(times_s: FloatArray, number: int) -> FloatArray:
        frequency_hz = base_hz * 2 ** (steps[number % len(steps)] / 12)
        organ = sum(sound.tone(k * frequency_hz, times_s) / k for k in (1, 2, 3, 4, 6, 8))
        return np.asarray(organ) * strike(times_s, 0.02, 0.5)

    return 0.3 * sound.grains(note, 1.5)


SOUNDS: dict[str, Callable[[Sound], FloatArray]] = {
    "rain": rain,
    "siren": siren,
    "bouncing ball": bouncing_ball,
    "bell": bell,
    "engine": engine,
    "birds": birds,
    "clock": clock,
    "fire": fire,
    "waves": waves,
    "drum": drum,
    "laser": laser,
    "wind": wind,
    UNRELATED: music,
}
