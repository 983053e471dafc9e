"""The picture of each kind: what stands still (`backdrop`) and what moves (`action`)."""

from v2a_core.miniature.world.pictures import nature, objects
from v2a_core.miniature.world.pictures.base import Picture

PICTURES: dict[str, Picture] = {
    "rain": Picture(nature.rain_backdrop, nature.rain),
    "siren": Picture(objects.siren_backdrop, objects.siren),
    "bouncing ball": Picture(objects.ball_backdrop, objects.ball),
    "bell": Picture(objects.bell_backdrop, objects.bell),
    "engine": Picture(objects.engine_backdrop, objects.engine),
    "birds": Picture(nature.birds_backdrop, nature.birds),
    "clock": Picture(objects.clock_backdrop, objects.clock),
    "fire": Picture(nature.fire_backdrop, nature.fire),
    "waves": Picture(nature.waves_backdrop, nature.waves),
    "drum": Picture(objects.drum_backdrop, objects.drum),
    "laser": Picture(objects.laser_backdrop, objects.laser),
    "wind": Picture(nature.wind_backdrop, nature.wind),
}
