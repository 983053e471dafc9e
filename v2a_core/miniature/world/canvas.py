"""A small anti-aliased canvas in numpy, with two drawing styles.

Coordinates: a unit square fills the shorter side of the picture and sits in its middle, y grows downwards. Colours are
RGB in 0..1. A shape is painted through its signed distance (negative inside), so edges are smooth at any size.

Styles: `paint` fills shapes on a dark scene; `ink` draws outlines with a pen on paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Colour = tuple[float, float, float]
Distance = Callable[[Array, Array], Array]
Style = Literal["paint", "ink"]

PAPER: Colour = (0.95, 0.93, 0.87)
INK: Colour = (0.13, 0.12, 0.17)


class Canvas:
    """A picture in the making.

    Attributes:
        image_HWC: Float32, RGB in 0..1.
        style: How shapes are drawn.
        left, right, top, bottom: Edges of the picture; the unit square is inside.
    """

    def __init__(self, height: int, width: int, style: Style) -> None:
        self.style: Style = style
        self.scale = min(height, width)
        x = (np.arange(width) + 0.5 - width / 2) / self.scale + 0.5
        y = (np.arange(height) + 0.5 - height / 2) / self.scale + 0.5
        self._x, self._y = x.astype(np.float32)[None, :], y.astype(np.float32)[:, None]
        self.left, self.right = 0.5 - width / 2 / self.scale, 0.5 + width / 2 / self.scale
        self.top, self.bottom = 0.5 - height / 2 / self.scale, 0.5 + height / 2 / self.scale
        self.image_HWC = np.zeros((height, width, 3), np.float32)
        self._pen = max(0.011, 1.1 / self.scale)

    def background(self, top: Colour, bottom: Colour) -> None:
        """A vertical gradient (paint) or paper (ink)."""
        share = np.clip(self._y, 0, 1)[..., None]
        gradient = np.asarray(top, np.float32) * (1 - share) + np.asarray(bottom, np.float32) * share
        self.image_HWC[:] = gradient if self.style == "paint" else np.asarray(PAPER, np.float32)

    def disc(self, x: float, y: float, radius: float, colour: Colour, alpha: float = 1.0) -> None:
        """A filled circle."""
        self._shape(_box(x, y, radius), lambda u, v: np.hypot(u - x, v - y) - radius, colour, alpha)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, alpha: float = 1.0) -> None:
        """A filled ellipse with upright axes."""
        edge = _ellipse(x, y, rx, ry)
        self._shape((x - rx, y - ry, x + rx, y + ry), edge, colour, alpha)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, *, round_: float = 0.0) -> None:
        """A filled rectangle with rounded corners."""
        cx, cy, hx, hy = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2 - round_, (y1 - y0) / 2 - round_

        def distance(u: Array, v: Array) -> Array:
            p, q = np.abs(u - cx) - hx, np.abs(v - cy) - hy
            outside = np.hypot(np.maximum(p, 0), np.maximum(q, 0))
            result: Array = outside + np.minimum(np.maximum(p, q), 0) - round_
            return result

        self._shape((x0, y0, x1, y1), distance, colour, 1.0)

    def polygon(self, points: list[tuple[float, float]], colour: Colour, alpha: float = 1.0) -> None:
        """A filled convex polygon, corners in clockwise order as seen."""
        xs, ys = [p[0] for p in points], [p[1] for p in points]

        def distance(u: Array, v: Array) -> Array:
            result = np.full(np.broadcast_shapes(u.shape, v.shape), -1e3, np.float32)
            for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
                length = max(np.hypot(bx - ax, by - ay), 1e-6)
                np.maximum(result, ((u - ax) * (by - ay) - (v - ay) * (bx - ax)) / length, out=result)
            return result

        self._shape((min(xs), min(ys), max(xs), max(ys)), distance, colour, alpha)

    def line(self, x0: float, y0: float, x1: float, y1: float, width: float, colour: Colour, alpha: float = 1) -> None:
        """A straight stroke with round ends."""
        self.strokes(np.array([[x0, y0, x1, y1]]), width, colour, alpha)

    def ring(self, x: float, y: float, rx: float, ry: float, width: float, colour: Colour, alpha: float = 1) -> None:
        """The outline of an ellipse."""
        grow = width + 2 / self.scale
        edge = _ellipse(x, y, rx, ry)

        def distance(u: Array, v: Array) -> Array:
            return np.abs(edge(u, v)) - width / 2

        self._stroke((x - rx - grow, y - ry - grow, x + rx + grow, y + ry + grow), distance, colour, alpha)

    def arcs(
        self,
        x: float,
        y: float,
        radii: Sequence[float],
        facings: Sequence[float],
        *,
        spread: float,
        width: float,
        colour: Colour,
        alpha: float,
    ) -> None:
        """Parts of circles around the directions `facings`, `spread` radians to either side."""
        towards = [(float(np.cos(facing)), float(np.sin(facing))) for facing in facings]
        limit = float(np.cos(spread))
        steps = np.sort(np.asarray(radii, np.float32))
        halves = (steps[1:] + steps[:-1]) / 2

        def distance(u: Array, v: Array) -> Array:
            p, q = u - x, v - y
            norm = np.hypot(p, q)
            beyond = limit * norm - np.maximum.reduce([p * fx + q * fy for fx, fy in towards])
            nearest = steps[np.searchsorted(halves, norm)]
            result: Array = np.maximum(np.abs(norm - nearest) - width / 2, beyond)
            return result

        self._stroke(_box(x, y, float(steps[-1]) + width), distance, colour, alpha)

    def strokes(self, ends_N4: npt.NDArray[np.float64], width: float, colour: Colour, alpha: float | Array = 1) -> None:
        """Many short straight strokes in one go: rows of x0, y0, x1, y1; `alpha` for all or for each, (N,)."""
        if len(ends_N4) == 0:
            return
        width = width if self.style == "paint" else max(width, self._pen)
        ends = ends_N4.astype(np.float32)
        reach = float(np.abs(ends[:, 2:] - ends[:, :2]).max()) / 2 + width / 2 + 1.5 / self.scale
        half = int(np.ceil(reach * self.scale))
        middle = (ends[:, :2] + ends[:, 2:]) / 2
        column = np.floor((middle[:, 0] - self.left) * self.scale).astype(int)
        row = np.floor((middle[:, 1] - self.top) * self.scale).astype(int)
        offsets = np.arange(-half, half + 1)
        columns = column[:, None] + offsets  # (N, S)
        rows = row[:, None] + offsets
        u = ((columns + 0.5) / self.scale + self.left).astype(np.float32)[:, None, :]
        v = ((rows + 0.5) / self.scale + self.top).astype(np.float32)[:, :, None]
        x0, y0, x1, y1 = (ends[:, i, None, None] for i in range(4))
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((u - x0) * dx + (v - y0) * dy) / np.maximum(dx * dx + dy * dy, 1e-12), 0, 1)
        distance = np.hypot(u - x0 - along * dx, v - y0 - along * dy) - width / 2
        cover = np.clip(0.5 - distance * self.scale, 0, 1) * np.reshape(np.asarray(alpha, np.float32), (-1, 1, 1))
        self._blend_patches(rows, columns, cover, colour)

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Light around a point (paint); rays (ink)."""
        if strength <= 0.02:
            return
        if self.style == "ink":
            angles = np.arange(8) * np.pi / 4 + np.pi / 8
            direction = np.stack([np.cos(angles), np.sin(angles)], axis=1)
            ends = np.concatenate([direction * radius * 0.62, direction * radius * (0.62 + 0.3 * strength)], axis=1)
            self.strokes(ends + np.array([x, y, x, y]), self._pen, INK)
            return
        rows, columns = self._slices(_box(x, y, radius))
        square = ((self._x[:, columns] - x) ** 2 + (self._y[rows] - y) ** 2) / radius**2
        light = strength * np.maximum(1 - square, 0) ** 2
        region = self.image_HWC[rows, columns]
        region += light[..., None] * (np.asarray(colour, np.float32) - 0.5 * region)

    def below(self, surface_W: Array, colour: Colour) -> None:
        """Fills everything under a curve (W,) that gives y for each column; see `columns`."""
        slope = np.hypot(1, np.gradient(surface_W) * self.scale)
        distance = (surface_W[None, :] - self._y) / slope
        if self.style == "ink":
            self._blend((slice(None), slice(None)), np.clip(0.5 - distance * self.scale, 0, 1), PAPER)
            self._blend((slice(None), slice(None)), self._cover(np.abs(distance) - self._pen / 2), INK)
            return
        self._blend((slice(None), slice(None)), self._cover(distance), colour)

    @property
    def columns(self) -> Array:
        """X of each column of pixels, (W,)."""
        x: Array = self._x[0]
        return x

    def to_uint8(self) -> npt.NDArray[np.uint8]:
        """The picture, uint8 (H, W, 3)."""
        return (np.clip(self.image_HWC, 0, 1) * 255 + 0.5).astype(np.uint8)

    def _shape(self, box: tuple[float, float, float, float], distance: Distance, colour: Colour, alpha: float) -> None:
        margin = 2 / self.scale + (self._pen if self.style == "ink" else 0)
        where = self._slices((box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin))
        d = distance(self._x[:, where[1]], self._y[where[0]])
        if self.style == "paint":
            self._blend(where, alpha * self._cover(d), colour)
            return
        # A pen leaves the paper white inside; what is dark in the painting is shaded a little.
        shade = 0.8 + 0.2 * max(colour)
        self._blend(where, alpha * self._cover(d), tuple(shade * part for part in PAPER))
        self._blend(where, alpha * self._cover(np.abs(d) - self._pen / 2), INK)

    def _stroke(self, box: tuple[float, float, float, float], distance: Distance, colour: Colour, alpha: float) -> None:
        where = self._slices(box)
        d = distance(self._x[:, where[1]], self._y[where[0]])
        self._blend(where, alpha * self._cover(d), colour if self.style == "paint" else INK)

    def _cover(self, distance: Array) -> Array:
        return np.clip(0.5 - distance * self.scale, 0, 1)

    def _slices(self, box: tuple[float, float, float, float]) -> tuple[slice, slice]:
        x0, x1 = ((value - self.left) * self.scale for value in (box[0], box[2]))
        y0, y1 = ((value - self.top) * self.scale for value in (box[1], box[3]))
        return slice(max(0, int(y0)), max(0, int(np.ceil(y1)))), slice(max(0, int(x0)), max(0, int(np.ceil(x1))))

    def _blend(self, where: tuple[slice, slice], cover: Array, colour: tuple[float, ...]) -> None:
        region = self.image_HWC[where]
        region += cover[..., None] * (np.asarray(colour, np.float32) - region)

    def _blend_patches(
        self, rows: npt.NDArray[np.int_], columns: npt.NDArray[np.int_], cover: Array, colour: Colour
    ) -> None:
        height, width = self.image_HWC.shape[:2]
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        inside &= cover > 0
        flat = (rows[:, :, None] * width + columns[:, None, :])[inside]
        mask = np.zeros(height * width, np.float32)
        np.maximum.at(mask, flat, cover[inside])
        touched = np.flatnonzero(mask)
        pixels = self.image_HWC.reshape(-1, 3)
        target = np.asarray(colour if self.style == "paint" else INK, np.float32)
        pixels[touched] += mask[touched, None] * (target - pixels[touched])


def _box(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius


def _ellipse(x: float, y: float, rx: float, ry: float) -> Distance:
    """Signed distance to an ellipse, to first order: exact at the edge, where it matters."""

    def distance(u: Array, v: Array) -> Array:
        p, q = (u - x) / rx, (v - y) / ry
        norm = np.hypot(p, q)
        result: Array = (norm - 1) * norm / np.maximum(np.hypot(p / rx, q / ry), 1e-6)
        return result

    return distance
