"""Image files of every kind, sound and not, made on the spot."""

import struct
import zlib
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from models.image_classifier.examples import EIGHT


def eight(size: int = 8) -> Image.Image:
    """Return a handwritten 8, light on dark, each of its pixels as a square."""
    return Image.open(BytesIO(b64decode(EIGHT))).resize((size, size), Image.Resampling.NEAREST)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(side: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))


def sixteen_bit(image: Image.Image) -> bytes:
    return saved(Image.fromarray(np.asarray(image).astype(np.uint16) * 257))


def transparent(image: Image.Image, ink: int = 0) -> bytes:
    """Return ink on nothing."""
    drawn = Image.new("LA", image.size, (ink, 0))
    drawn.putalpha(image)
    return saved(drawn)


def colour_key(image: Image.Image) -> bytes:
    """Return black ink on a red that stands for nothing, as PNG's tRNS says."""
    pixels = np.zeros((*image.size, 3), np.uint8)
    pixels[np.asarray(image) < 100] = (255, 0, 0)
    return saved(Image.fromarray(pixels), transparency=(255, 0, 0))


def turned(image: Image.Image, orientation: int, kind: str = "JPEG") -> bytes:
    """Return an image as a camera held so writes it: pixels as they fell, and a note how to turn them."""
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    for way in undo.get(orientation, []):
        image = image.transpose(way)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(image.convert("RGB"), kind, quality=95, exif=exif)


def animated(image: Image.Image, kind: str) -> bytes:
    return saved(image, kind, save_all=True, append_images=[Image.new("L", image.size, shade) for shade in (0, 99)])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, data: bytes = b"") -> bytes:
    """Return a PNG that claims this size, whatever it holds."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def webp(width: int, height: int) -> bytes:
    """Return a WebP that claims this size, and holds a small image."""
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4)
    canvas += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + canvas + saved(eight().convert("RGB"), "WEBP", lossless=True)[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


AN_EIGHT: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG": saved,
    "JPEG": lambda image: saved(image.convert("RGB"), "JPEG", quality=95),
    "progressive JPEG": lambda image: saved(image.convert("RGB"), "JPEG", quality=95, progressive=True),
    "grey JPEG": lambda image: saved(image, "JPEG", quality=95),
    "CMYK JPEG": lambda image: saved(image.convert("CMYK"), "JPEG", quality=95),
    "lossless WebP": lambda image: saved(image.convert("RGB"), "WEBP", lossless=True),
    "lossy WebP": lambda image: saved(image.convert("RGB"), "WEBP"),
    "WebP with transparency": lambda image: saved(image.convert("RGBA"), "WEBP"),
    "coloured": lambda image: saved(image.convert("RGB")),
    "opaque RGBA": lambda image: saved(image.convert("RGBA")),
    "black ink on nothing": transparent,
    "black ink on a transparent colour": colour_key,
    "palette": lambda image: saved(image.convert("P")),
    "palette with transparency": lambda image: saved(image.convert("P"), transparency=255),
    "black and white": lambda image: saved(image.point(lambda shade: 255 * (shade > 99)).convert("1")),
    "16 bits": sixteen_bit,
    "dark on light": lambda image: saved(image.point(lambda shade: 255 - shade)),
    "wide": lambda image: saved(_framed(image, 200, 64)),
    "tall": lambda image: saved(_framed(image, 64, 200)),
    "animated WebP": lambda image: animated(image, "WEBP"),
    "animated PNG": lambda image: animated(image, "PNG"),
    **{f"EXIF orientation {way}": lambda image, way=way: turned(image, way) for way in range(1, 9)},
}
"""The same digit in every form that files take."""


def _framed(image: Image.Image, width: int, height: int) -> Image.Image:
    frame = Image.new("L", (width, height))
    frame.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return frame
