"""Images at the door: what is refused, with which words, and at what cost."""

import json
import subprocess
import sys
import zlib
from base64 import b64encode
from io import BytesIO
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from models.image_classifier.check import (
    MAX_BYTES,
    MAX_PIXELS,
    MAX_PIXELS_TOGETHER,
    UnreadableImage,
    check,
    opened,
    pixels,
)
from models.image_classifier.endpoint import ENDPOINT, Inference
from models.image_classifier.features import Preparation
from models.image_classifier.header import MAX_PARTS, pixels_only, read
from models.image_classifier.spec import SPEC
from serving.catalogue import FOLDER
from serving.contract import BadInput
from tests.images import AN_EIGHT, chunk, eight, noise, png, saved, webp

MANIFEST = {"labels": [str(digit) for digit in range(10)]}


def faults(*images: bytes, top_n: int = 1) -> list[tuple[int, str, str]]:
    return [tuple(fault) for fault in check({"image": list(images), "top_n": [top_n] * len(images)}, MANIFEST)]


# Refused

PNG, JPEG, WEBP = (saved(noise(), kind) for kind in ("PNG", "JPEG", "WEBP"))

REFUSED = {
    "a text file": (b"this is no image, whatever its name\n", "Not a PNG, JPEG or WebP file, by its content; convert"),
    "nothing": (b"", "The file is empty; send"),
    "one byte": (b"\x89", "Not a PNG, JPEG or WebP file"),
    "a GIF": (saved(eight(), "GIF"), "(it is a GIF); convert it to one"),
    "a BMP": (saved(eight(), "BMP"), "(it is a BMP); convert it to one"),
    "a TIFF": (saved(eight(), "TIFF"), "(it is a TIFF); convert it to one"),
    "an AVIF": (b"\0\0\0\x20ftypavif" + bytes(99), "(it is an AVIF, a HEIC or a film); convert it to one"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "(it is an SVG); convert it to one"),
    "a WAV": (b"RIFF\x24\0\0\0WAVEfmt ", "Not a PNG, JPEG or WebP file"),
    "more than 6 MB": (bytes(MAX_BYTES + 1), "The file has 6,000,001 bytes, more than 6,000,000; scale the image down"),
    "50 megapixels": (png(10_000, 5_000), "The image has 10000 x 5000 pixels, more than 25,000,000 in all; scale it"),
    "4 gigapixels": (png(65_000, 65_000), "The image has 65000 x 65000 pixels, more than"),
    "18 exapixels": (png(2**32 - 1, 2**32 - 1), "more than 25,000,000 in all; scale it down"),
    "a WebP of 268 megapixels": (webp(16_383, 16_383), "The image has 16383 x 16383 pixels"),
    "no width": (png(0, 8), "The image is 0 x 8, so it has no pixels"),
    "a PNG without its end": (PNG[:-12], "cut off: its end is missing; send the whole file"),
    "half a PNG": (PNG[: len(PNG) // 2], "cut off"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "cut off"),
    "half a WebP": (WEBP[: len(WEBP) // 2], "cut off"),
    "a PNG with a byte turned over": (PNG[:90] + bytes([PNG[90] ^ 1]) + PNG[91:], "damaged: its part 'IDAT' fails"),
    "a PNG without pixels": (PNG[:33] + chunk(b"IEND", b""), "damaged: it lacks a PNG's header or its pixels"),
    "a JPEG without a size": (b"\xff\xd8\xff\xda\0\x02\xff\xd9", "damaged: it does not say its size"),
    "a JPEG of zeros": (b"\xff\xd8\xff" + bytes(99), "damaged"),
    "a JPEG that ends at once": (b"\xff\xd8\xff\xd9", "damaged"),
    "a WebP of unknown make": (b"RIFF\x16\0\0\0WEBPWHAT" + bytes(14), "damaged: it has no WebP header"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_classified_is_refused_with_a_remedy(kind: str) -> None:
    data, words = REFUSED[kind]
    [(position, field, detail)] = faults(data)
    assert (position, field) == (0, "image")
    assert words in detail


def test_a_refusal_names_the_image_that_it_is_about() -> None:
    assert [(position, field) for position, field, _ in faults(PNG, b"x", JPEG, b"")] == [(1, "image"), (3, "image")]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_file_cut_off_anywhere_is_refused(kind: str) -> None:
    whole = saved(eight(16).convert("RGB"), kind)
    for length in range(1, len(whole)):
        with pytest.raises(UnreadableImage):
            read(whole[:length])


def test_what_follows_the_end_of_an_image_is_no_harm() -> None:
    for image in (PNG, JPEG, WEBP):
        assert faults(image + b"\0 appended by some program") == []


def test_more_labels_than_there_are_is_a_fault_that_says_how_many() -> None:
    [(_, field, detail)] = faults(PNG, top_n=11)
    assert field == "top_n"
    assert detail == "The model knows 10 labels; ask for at most 10"
    assert faults(PNG, top_n=10) == []


@pytest.mark.parametrize("top_n", [0, 1001, -1, 1.5, "5", None, True])
def test_a_top_n_that_is_no_number_of_labels_is_refused_by_the_schema(top_n: object) -> None:
    with pytest.raises(ValidationError):
        SPEC.input.model_validate_json(json.dumps({"image": b64encode(PNG).decode(), "top_n": top_n}))


# Costs


def test_the_largest_image_that_is_let_in_is_weighed_by_its_header() -> None:
    assert list(pixels({"image": [png(5_000, 5_000), PNG, JPEG, WEBP]})) == [MAX_PIXELS, 4096, 4096, 4096]


def test_a_task_of_many_large_images_is_refused_once_at_the_image_that_is_too_much() -> None:
    largest = png(5_000, 5_000)
    assert faults(*[largest] * 4) == []
    [(position, field, detail)] = faults(*[largest] * 9)
    assert (position, field) == (4, "image")
    assert f"more than {MAX_PIXELS_TOGETHER:,} pixels together; scale them down, or send them in several" in detail


def scanned(size: tuple[int, int], more: int) -> bytes:
    """A progressive JPEG whose last scan comes so many times more: 40 bytes each."""
    whole = saved(Image.new("RGB", size), "JPEG", progressive=True)
    last, end = whole.rfind(b"\xff\xda"), whole.rfind(b"\xff\xd9")
    return whole[:end] + whole[last:end] * more + whole[end:]


def test_a_jpeg_of_countless_scans_is_refused_before_it_is_decoded() -> None:
    bomb = scanned((5_000, 4_900), 300)
    assert len(bomb) < 170_000
    [(position, field, detail)] = faults(bomb)
    assert (position, field) == (0, "image")
    assert detail.startswith(
        "The progressive JPEG has 5000 x 4900 pixels in 310 scans; save it with at most 16, or as a"
    )
    with pytest.raises(BadInput, match="310 scans"):  # stored by somebody else, perhaps
        Preparation(8, (0.5,), (0.5,)).matrix([PNG, bomb])
    assert list(pixels({"image": [bomb, PNG]})) == [0, 4096]


def test_progressive_jpegs_as_encoders_write_them_are_let_in() -> None:
    for more in (0, 6):
        assert faults(scanned((5_000, 4_900), more)) == []
    assert faults(scanned((500, 500), 1_000)) == []


def test_many_scans_of_small_images_weigh_together() -> None:
    small = scanned((500, 500), 1_000)
    assert read(small).work == 64 * 250_000
    assert faults(*[small] * 6) == []
    [(position, _, detail)] = faults(*[small] * 8)
    assert (position, "pixels together" in detail) == (6, True)


def test_a_picture_behind_the_end_of_a_jpeg_or_in_its_notes_counts_for_nothing() -> None:
    """Cameras put a second picture, and a preview among the notes."""
    second = scanned((64, 64), 100)
    preview = b"\xff\xe1" + (len(second) + 2).to_bytes(2, "big") + second
    assert read(JPEG + second).scans == 1
    assert read(JPEG[:2] + preview + JPEG[2:]).scans == 1


@pytest.mark.parametrize("coding", [0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF])
def test_a_jpeg_in_a_coding_that_no_browser_reads_is_refused(coding: int) -> None:
    [(_, _, detail)] = faults(JPEG.replace(b"\xff\xc0", bytes([0xFF, coding]), 1))
    assert detail == "The JPEG is coded in a way that is not supported; save it as a baseline JPEG"


@pytest.mark.parametrize("data", [b"\xff\x00", b"\xff\xd0", b"\xff\xff", b"\xff", b"a\xff", b"\xff\x01"])
def test_the_door_takes_time_in_proportion_to_the_bytes_of_a_jpeg(data: bytes) -> None:
    def took(times: int) -> float:
        image = JPEG[:-2] + data * (times // len(data)) + JPEG[-2:]
        begin = process_time()
        faults(image)
        return process_time() - begin

    assert min(took(4_000_000) for _ in range(3)) < 40 * max(0.001, max(took(400_000) for _ in range(3)))


def test_texts_inside_an_image_are_not_inflated() -> None:
    """60 kB that would become 60 MB, at the door and in the worker."""
    text = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(1_000_000)))
    bomb = PNG[:33] + text * 60 + PNG[33:]
    assert pixels_only(bomb) == PNG
    network = Preparation(8, (0.5,), (0.5,))
    assert (network.matrix([bomb]) == network.matrix([PNG])).all()
    begin = process_time()
    for _ in range(5):
        assert faults(bomb) == []
        network.matrix([bomb])
    ours = process_time() - begin
    begin = process_time()
    Image.open(BytesIO(bomb))
    assert ours < process_time() - begin, "as dear as inflating them"


@pytest.mark.parametrize("data", [png(8, 8, *[chunk(b"aaAa", b"")] * MAX_PARTS), b"\xff\xd8" + b"\xff\x01" * MAX_PARTS])
def test_a_file_of_countless_parts_is_refused(data: bytes) -> None:
    [(_, _, detail)] = faults(data)
    assert "more than 10,000 parts; save the image anew" in detail


LIGHT = "import sys, handler.app; sys.exit('PIL' in sys.modules)"


def test_the_handler_reads_headers_without_an_image_library() -> None:
    assert subprocess.run([sys.executable, "-c", LIGHT], cwd=FOLDER.parent, timeout=60, check=False).returncode == 0


# Against Pillow


@pytest.mark.parametrize("kind", AN_EIGHT)
def test_a_header_says_what_pillow_says(kind: str) -> None:
    data = AN_EIGHT[kind](eight(48))
    header, image = opened(data), Image.open(BytesIO(data))
    assert (header.kind, header.width, header.height) == (image.format, *image.size)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.data())
def test_damaged_files_are_refused_or_classified_and_nothing_else(kind: str, data: st.DataObject) -> None:
    whole = bytearray({"PNG": PNG, "JPEG": JPEG, "WEBP": WEBP}[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        seen = Preparation(8, (0.5,), (0.5,)).matrix([bytes(whole)])
    except BadInput:
        return
    assert seen.shape == (1, 1, 8, 8)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b""]), st.binary(max_size=80))
def test_no_bytes_break_the_door(start: bytes, rest: bytes) -> None:
    assert all(field == "image" and detail for _, field, detail in faults(start + rest))


# POST /inference


def test_a_form_says_the_same_as_json() -> None:
    assert ENDPOINT.form is not None
    encoded = b64encode(PNG).decode()
    for fields in ({"file": PNG, "top_n": "2"}, {"image": PNG, "top_n": "2"}, {"image": encoded, "top_n": "2"}):
        body = Inference.model_validate(ENDPOINT.form(fields))
        assert ENDPOINT.inputs(body) == [{"image": encoded, "top_n": 2}]
    in_json = {"data": {"B64Image": {"image": encoded}}}
    assert ENDPOINT.inputs(Inference.model_validate(in_json)) == [{"image": encoded, "top_n": 5}]
    empty = Inference.model_validate(ENDPOINT.form({"file": b""}))
    assert ENDPOINT.inputs(empty) == [{"image": "", "top_n": 5}]


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({}, ("data", "B64Image", "image"), "Field required"),
        ({"file": PNG, "topn": "3"}, ("topn",), "Extra inputs"),
        ({"file": PNG, "top_n": "many"}, ("inference_type", "ImageClassification", "top_n"), "valid integer"),
        ({"file": PNG, "top_n": "٣"}, ("inference_type", "ImageClassification", "top_n"), "valid integer"),
        ({"file": PNG, "top_n": "9" * 5_000}, ("inference_type", "ImageClassification", "top_n"), "valid integer"),
        ({"file": PNG, "top_n": "0"}, ("inference_type", "ImageClassification", "top_n"), "greater than"),
        ({"file": PNG, "image": PNG}, ("image",), "Extra inputs"),
    ],
)
def test_a_form_that_is_wrong_is_refused_by_field(
    fields: dict[str, str | bytes], place: tuple[str, ...], words: str
) -> None:
    assert ENDPOINT.form is not None
    with pytest.raises(ValidationError) as refusal:
        Inference.model_validate(ENDPOINT.form(fields))
    [error] = refusal.value.errors()
    assert error["loc"] == place
    assert words in error["msg"]


@pytest.mark.parametrize(
    ("seconds", "took"),
    [(0.0, (0, 0)), (0.25, (0, 250_000_000)), (3.5, (3, 500_000_000)), (0.9999999999, (1, 0))],
)
def test_the_time_that_it_took_is_in_whole_seconds_and_nanoseconds(seconds: float, took: tuple[int, int]) -> None:
    columns = {"labels": [["8", "3"]], "probabilities": [[0.9, 0.1]]}
    answer = ENDPOINT.outputs(Inference.model_validate({"data": {"B64Image": {"image": ""}}}), columns, seconds)
    assert answer == [
        {"Classification": [{"label": "8", "probability": 0.9}, {"label": "3", "probability": 0.1}]},
        {"secs": took[0], "nanos": took[1]},
    ]
