"""Still images, and the picture geometry that CLIP was trained with."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from v2a_core.media.types import MediaError

# What becomes of a picture, from it and a size in pixels.
Shape: TypeAlias = "Callable[[Image.Image, int], npt.NDArray[np.uint8]]"

# A 100-megapixel picture is 300 MB of pixels: more than any camera makes, less than a decoder process may take.
MAX_PIXELS = 100_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")


@contextlib.contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open a still image of a known format; pixels are not read yet.

    Raises:
        MediaError: When it is none, or larger than 100 megapixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise MediaError("fetch", "NotFound", f"no file {path}") from None
    except Image.DecompressionBombError as error:
        raise MediaError("probe", "TooLarge", str(error)) from None
    except UnidentifiedImageError:
        raise MediaError("probe", "InvalidImage", "not a readable image (png, jpeg, webp or bmp)") from None
    except PermissionError as error:
        raise MediaError("fetch", "PermissionError", f"the file cannot be read: {error.strerror}") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise MediaError("probe", "InvalidImage", f"not a readable image: {error}") from None
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise MediaError(
                "probe", "TooLarge", f"{image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are decoded"
            )
        yield image


def load_image(path: Path, image_size: int, shape: Shape | None = None) -> npt.NDArray[np.uint8]:
    """A still image as one frame, upright (EXIF).

    Args:
        path: A local file.
        image_size: Pixels.
        shape: What becomes of the picture; without one, `fit`.

    Returns:
        uint8 RGB, of `fit` (image_size, image_size, 3).

    Raises:
        MediaError: When the pixels cannot be read.
    """
    with open_image(path) as image:
        try:
            return (shape or fit)(ImageOps.exif_transpose(image).convert("RGB"), image_size)
        except (OSError, ValueError, SyntaxError) as error:
            raise MediaError("decode", "InvalidImage", f"the pixels cannot be read: {error}") from None


def fit(image: Image.Image, image_size: int) -> npt.NDArray[np.uint8]:
    """Shortest side to `image_size`, bicubic, then the centre square.

    The same arithmetic as the evaluation transform of open_clip (torchvision's Resize and CenterCrop on PIL images),
    to the last bit.

    Returns:
        uint8 RGB (image_size, image_size, 3).
    """
    short, long = sorted(image.size)
    long = int(image_size * long / short)
    size = (image_size, long) if image.width <= image.height else (long, image_size)
    resized = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
    left = round((resized.width - image_size) / 2.0)
    top = round((resized.height - image_size) / 2.0)
    return np.asarray(resized.crop((left, top, left + image_size, top + image_size)), dtype=np.uint8)


def whole(image: Image.Image, image_size: int) -> npt.NDArray[np.uint8]:
    """The whole picture, no side longer than `image_size`, bicubic; even sides, as 4:2:0 video needs them.

    Returns:
        uint8 RGB (height, width, 3).
    """
    share = min(1.0, image_size / max(image.size))
    width, height = (max(2, 2 * round(side * share / 2)) for side in image.size)
    resized = image if (width, height) == image.size else image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.uint8)
