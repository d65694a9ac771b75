"""Images of every kind through the classifier: what it sees, what it refuses, what it gives."""

import io
import struct
import zlib
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models import artifact
from models.image_classifier.check import MAX_PIXELS, UnreadableImage, check, opened, weigh
from models.image_classifier.endpoint import ENDPOINT, Inference
from models.image_classifier.examples import EIGHT
from models.image_classifier.features import Preparation
from models.image_classifier.model import ImageClassifier, load

ARTIFACT = artifact.current("image_classifier")
GOLDEN = list(ARTIFACT.golden())


@pytest.fixture(scope="module")
def classifier() -> ImageClassifier:
    return load(ARTIFACT.path)


def eight(size: int = 8) -> Image.Image:
    small = Image.open(io.BytesIO(b64decode(EIGHT)))
    return small.resize((size, size), Image.Resampling.NEAREST)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def labels(classifier: ImageClassifier, *images: bytes) -> list[str]:
    return list(classifier.predict({"image": list(images), "top_n": [3] * len(images)})["label"])


def sixteen_bit(image: Image.Image) -> bytes:
    return saved(Image.fromarray(np.asarray(image).astype(np.uint16) * 257))


def transparent(image: Image.Image) -> bytes:
    """White ink on nothing."""
    ink = Image.new("LA", image.size, (255, 0))
    ink.putalpha(image)
    return saved(ink)


def turned(image: Image.Image) -> bytes:
    """Held sideways, as EXIF orientation 6 says."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(image.convert("RGB").rotate(90), "JPEG", quality=95, exif=exif)


SAME: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG": saved,
    "JPEG": lambda image: saved(image.convert("RGB"), "JPEG", quality=95),
    "grey JPEG": lambda image: saved(image, "JPEG", quality=95),
    "WebP": lambda image: saved(image.convert("RGB"), "WEBP", lossless=True),
    "coloured": lambda image: saved(image.convert("RGB")),
    "RGBA": lambda image: saved(image.convert("RGBA")),
    "transparent": transparent,
    "palette": lambda image: saved(image.convert("P")),
    "16 bits": sixteen_bit,
    "EXIF orientation": turned,
    "CMYK": lambda image: saved(image.convert("CMYK"), "JPEG", quality=95),
    "animated": lambda image: saved(image, "WEBP", save_all=True, append_images=[Image.new("L", image.size)]),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_digit_is_read_however_the_image_is_stored(classifier: ImageClassifier, kind: str) -> None:
    image = SAME[kind](eight(64))
    assert not list(check({"image": [image], "top_n": [1]}, ARTIFACT.manifest))
    assert labels(classifier, image) == ["8"]


def test_sizes_from_one_pixel_up_are_classified(classifier: ImageClassifier) -> None:
    images = [saved(Image.new("L", size, 90)) for size in ((1, 1), (1, 300), (300, 1), (33, 7))]
    assert len(labels(classifier, *images)) == len(images)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


JPEG, WEBP = (saved(eight(64).convert("RGB"), kind) for kind in ("JPEG", "WEBP"))

REFUSED = {
    "text": (b"this is no image, whatever its name\n", "Not a PNG, JPEG or WEBP file"),
    "nothing": (b"", "Not a PNG, JPEG or WEBP file"),
    "GIF": (saved(eight(), "GIF"), "Not a PNG, JPEG or WEBP file"),
    "50 megapixels": (bomb(10_000, 5_000), "10000 x 5000 pixels: more than 25,000,000 pixels"),
    "100 megapixels": (bomb(10_000, 10_000), "more than 25,000,000 pixels"),
    "4 gigapixels": (bomb(65_000, 65_000), "more than 25,000,000 pixels"),
    "cut PNG": (saved(eight(64))[:-20], "cut off"),
    "cut JPEG": (JPEG[: len(JPEG) // 2], "cut off"),
    "cut WebP": (WEBP[:-20], "cut off"),
    "half a header": (saved(eight())[:20], ""),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_classified_is_refused_before_it_is_decoded(kind: str) -> None:
    data, words = REFUSED[kind]
    (fault,) = check({"image": [data], "top_n": [1]}, ARTIFACT.manifest)
    assert (fault.position, fault.field) == (0, "image")
    assert words in fault.detail


def test_the_largest_image_that_is_let_in_is_weighed_by_its_header() -> None:
    assert list(weigh({"image": [bomb(5_000, 5_000)]})) == [MAX_PIXELS]


def test_an_image_that_is_broken_inside_says_so(classifier: ImageClassifier) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    whole = bytearray(saved(noise))
    whole[len(whole) // 2 : len(whole) // 2 + 400] = bytes(400)
    with pytest.raises(UnreadableImage, match="data is broken"):
        labels(classifier, bytes(whole))


def test_as_many_labels_come_as_were_asked_for_best_first(classifier: ImageClassifier) -> None:
    images = [saved(eight())] * 3
    found = classifier.predict({"image": images, "top_n": [1, 5, 10]})
    assert [len(row) for row in found["labels"]] == [1, 5, 10]
    assert [row[0] for row in found["labels"]] == found["label"] == ["8"] * 3
    assert all(row == sorted(row, reverse=True) for row in found["probabilities"])
    assert sum(found["probabilities"][2]) == pytest.approx(1)


def test_more_labels_than_there_are_is_a_fault_that_says_how_many() -> None:
    (fault,) = check({"image": [saved(eight())], "top_n": [11]}, ARTIFACT.manifest)
    assert fault.field == "top_n"
    assert "at most 10" in fault.detail


def test_coloured_networks_get_coloured_images() -> None:
    prepared = Preparation(4, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).matrix([saved(Image.new("RGB", (9, 5), (255, 0, 0)))])
    assert prepared.shape == (1, 3, 4, 4)
    assert [channel.mean() for channel in prepared[0]] == [1, -1, -1]


def test_the_name_of_a_file_says_nothing_its_content_does() -> None:
    assert opened(JPEG).format == "JPEG"


def test_torchscript_ranks_the_labels_as_onnx_does(classifier: ImageClassifier) -> None:
    pytest.importorskip("torch", reason="the extra torch is not installed")
    other = load(ARTIFACT.path.parent / f"{ARTIFACT.version}-torchscript")
    images = [b64decode(row["input"]["image"]) for row in GOLDEN]
    columns = {"image": images, "top_n": [5] * len(images)}
    assert other.predict(columns)["labels"] == classifier.predict(columns)["labels"]


def test_a_form_says_the_same_as_json() -> None:
    form = ENDPOINT.form
    assert form is not None
    body = Inference.model_validate(form({"file": saved(eight()), "top_n": "2"}))
    (taken,) = ENDPOINT.inputs(body)
    assert taken["top_n"] == 2
    assert ENDPOINT.inputs(Inference.model_validate({"data": {"B64Image": {"image": taken["image"]}}})) == [
        taken | {"top_n": 5}
    ]
