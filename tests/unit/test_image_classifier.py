"""Images of every kind through the classifier: what it sees, and what it gives."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from models.image_classifier.check import check
from models.image_classifier.dataset import HELD_OUT, LABELS, digits, split
from models.image_classifier.features import Preparation
from models.image_classifier.model import VALUES_TOGETHER, ImageClassifier, load, together
from serving.artifact import Artifact, UnsafeFormat, verify
from serving.catalogue import FOLDER
from serving.contract import BadInput
from tests.images import AN_EIGHT, animated, chunk, eight, noise, png, saved, transparent, turned

SHIPPED = FOLDER / "image_classifier" / "artifact" / "1.0.0"
ARTIFACT = Artifact(SHIPPED, json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8")))
COLOURED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def classifier() -> ImageClassifier:
    return load(ARTIFACT.path)


def labels(classifier: ImageClassifier, *images: bytes) -> list[str]:
    return list(classifier.predict({"image": list(images), "top_n": [3] * len(images)})["label"])


# What it sees


@pytest.mark.parametrize("kind", AN_EIGHT)
def test_the_digit_is_read_however_the_image_is_stored(classifier: ImageClassifier, kind: str) -> None:
    image = AN_EIGHT[kind](eight(64))
    assert not list(check({"image": [image], "top_n": [1]}, ARTIFACT.manifest))
    assert labels(classifier, image) == ["8"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("way", range(1, 9))
def test_a_photo_is_turned_as_the_camera_was_held(way: int, kind: str) -> None:
    quarters = Image.fromarray(np.array([[240, 160], [80, 0]], np.uint8)).resize((64, 64), Image.Resampling.NEAREST)
    seen = Preparation(2, (0.0,), (1.0,)).matrix([turned(quarters, way, kind)])
    assert np.argsort(-seen.ravel()).tolist() == [0, 1, 2, 3]


def test_notes_on_a_photo_that_are_broken_do_not_refuse_it(classifier: ImageClassifier) -> None:
    image = saved(eight(64).convert("RGB"), "JPEG", quality=95, exif=b"Exif\0\0garbage" * 9)
    assert labels(classifier, image) == ["8"]


def test_what_is_transparent_lies_on_white() -> None:
    shown = Preparation(2, (0.0,), (1.0,)).matrix([transparent(Image.new("L", (9, 9), 0), ink=0)])
    assert shown.min() == 1


def test_what_is_transparent_does_not_bleed_into_what_is_not() -> None:
    """A hidden black beside white ink must not grey it when the image is scaled down."""
    pixels = np.full((64, 64, 2), (255, 255), np.uint8)
    pixels[::2] = (0, 0)
    assert Preparation(4, (0.0,), (1.0,)).matrix([saved(Image.fromarray(pixels, "LA"))]).min() == 1


def test_of_an_animation_the_first_frame_counts() -> None:
    first = Image.new("L", (16, 16), 200)
    for kind in ("PNG", "WEBP"):
        seen = Preparation(4, (0.0,), (1.0,)).matrix([animated(first, kind)])
        assert seen.mean() == pytest.approx(200 / 255, abs=0.02)


def test_sixteen_bits_keep_their_shades() -> None:
    shades = Image.fromarray(np.array([[0, 257 * 64], [257 * 128, 65535]], np.uint16))
    seen = Preparation(2, (0.0,), (1.0,)).matrix([saved(shades)])
    assert (seen.ravel() * 255).tolist() == pytest.approx([0, 64, 128, 255])


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (33, 7), (8, 8), (4000, 3)])
def test_sizes_from_one_pixel_up_are_classified(classifier: ImageClassifier, size: tuple[int, int]) -> None:
    for kind in ("PNG", "JPEG", "WEBP"):
        image = saved(Image.new("RGB", size, (90, 90, 90)), kind)
        assert not list(check({"image": [image], "top_n": [1]}, ARTIFACT.manifest))
        assert len(labels(classifier, image)) == 1


def test_coloured_networks_get_coloured_images() -> None:
    red = Preparation(4, *COLOURED).matrix([saved(Image.new("RGB", (9, 5), (255, 0, 0)))])
    assert red.shape == (1, 3, 4, 4)
    assert [channel.mean() for channel in red[0]] == [1, -1, -1]
    grey = Preparation(4, *COLOURED).matrix([saved(Image.new("L", (9, 5), 255))])
    assert (grey == 1).all()


def test_a_large_photo_is_seen_as_when_all_of_it_is_decoded() -> None:
    """JPEG is decoded at a fraction of its size, which must not show."""
    photo = noise(30).resize((1500, 1000), Image.Resampling.BICUBIC)
    as_jpeg, as_png = (
        Preparation(64, (0.0,) * 3, (1.0,) * 3).matrix([saved(photo, kind, **options)])
        for kind, options in (("JPEG", {"quality": 98}), ("PNG", {}))
    )
    assert np.abs(as_jpeg - as_png).mean() < 0.01


# What it gives


def test_as_many_labels_come_as_were_asked_for_best_first(classifier: ImageClassifier) -> None:
    found = classifier.predict({"image": [saved(eight())] * 3, "top_n": [1, 5, 10]})
    assert [len(row) for row in found["labels"]] == [1, 5, 10]
    assert [row[0] for row in found["labels"]] == found["label"] == ["8"] * 3
    assert all(row == sorted(row, reverse=True) for row in found["probabilities"])
    assert [row[0] for row in found["probabilities"]] == found["probability"]
    assert sum(found["probabilities"][2]) == pytest.approx(1, abs=1e-5)
    assert found["labels"][2][:5] == found["labels"][1]


def test_no_images_give_no_labels(classifier: ImageClassifier) -> None:
    assert set(map(len, classifier.predict({"image": [], "top_n": []}).values())) == {0}


def test_images_of_several_tasks_together_give_what_each_gives_alone(classifier: ImageClassifier) -> None:
    held_out = split(digits())[1].files[:300]  # more than go through the network at once
    columns: dict[str, list[Any]] = {"image": held_out, "top_n": [n % 10 + 1 for n in range(300)]}
    merged = classifier.predict(columns)
    backwards = classifier.predict({name: values[::-1] for name, values in columns.items()})
    for number in range(0, 300, 7):
        alone = classifier.predict({name: values[number : number + 1] for name, values in columns.items()})
        for name, [expected] in alone.items():
            for found in (merged[name][number], backwards[name][299 - number]):
                assert found == (expected if name.startswith("label") else pytest.approx(expected, abs=2e-6))


def test_the_memory_of_many_small_images_is_bounded() -> None:
    """One-pixel images weigh nothing at the door, and 600 kB each in front of a network of 224 x 224."""
    sizes: list[int] = []

    def network(images: np.ndarray) -> np.ndarray:
        sizes.append(images.size)
        return np.zeros((len(images), 2), np.float32)

    preparation = {"size": 224, "mean": [0.5] * 3, "std": [0.5] * 3}
    manifest = {"labels": ["a", "b"], "preparation": preparation, "one_by_one": False, "gives": "logits"}
    found = ImageClassifier(network, manifest).predict({"image": [saved(eight())] * 50, "top_n": [1] * 50})
    assert len(found["label"]) == 50
    assert max(sizes) <= VALUES_TOGETHER < sum(sizes)
    assert together(Preparation(2048, (0.5,) * 3, (0.5,) * 3)) == 1


def with_garbage(kind: str, marker: bytes, skip: int, length: int, **options: Any) -> bytes:
    """Return an image whose bytes some way behind a marker are turned over."""
    whole = bytearray(saved(noise(), kind, **options))
    begin = whole.index(marker) + skip
    whole[begin : begin + length] = bytes(255 - byte for byte in whole[begin : begin + length])
    return bytes(whole)


BROKEN_INSIDE = {
    "PNG": png(64, 64, chunk(b"IDAT", b"no stream of zlib's, with a checksum that fits")),
    "JPEG": with_garbage("JPEG", b"\xff\xc4", 5, 16),  # the table by which its pixels are unpacked
    "WEBP": with_garbage("WEBP", b"VP8L", 16, 10_000, lossless=True),
}


@pytest.mark.parametrize("kind", BROKEN_INSIDE)
def test_an_image_that_is_broken_inside_says_so(classifier: ImageClassifier, kind: str) -> None:
    """What no header shows, so that it is found only when the image is decoded."""
    assert not list(check({"image": [BROKEN_INSIDE[kind]], "top_n": [1]}, ARTIFACT.manifest))
    with pytest.raises(BadInput, match=f"#/0/image: The data of the {kind} of 64 x 64 pixels is damaged; save"):
        labels(classifier, BROKEN_INSIDE[kind])


# The artifacts


@pytest.mark.parametrize("version", ["1.0.0", "1.0.0-torchscript"])
def test_the_shipped_artifacts_are_what_their_manifests_say(version: str) -> None:
    path = ARTIFACT.path.parent / version
    verify(Artifact(path, json.loads((path / "manifest.json").read_text(encoding="utf-8"))))
    assert sum(file.stat().st_size for file in path.iterdir()) < 600_000
    for file in path.iterdir():
        assert b"site-packages" not in file.read_bytes()
        if file.suffix == ".pt":
            with ZipFile(file) as archive:
                assert not any(b"site-packages" in archive.read(name) for name in archive.namelist())


def test_torchscript_passes_only_where_the_manifest_names_it(tmp_path: Path) -> None:
    copy = tmp_path / "mine"
    shutil.copytree(ARTIFACT.path.parent / "1.0.0-torchscript", copy)
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    verify(Artifact(copy, manifest))
    with pytest.raises(UnsafeFormat, match=r"model\.pt"):
        verify(Artifact(copy, {**manifest, "runtime": "onnx"}))


def test_nothing_unpickles_and_nothing_fetches_a_program() -> None:
    """TorchScript is loaded in one place, after its sha256; torch.load, which unpickles, nowhere."""
    sources = {file: file.read_text(encoding="utf-8") for file in FOLDER.rglob("*.py")}
    assert [file.name for file, text in sources.items() if "torch.load(" in text or "pickle.load" in text] == []
    assert [file.parent.name for file, text in sources.items() if "torch.jit.load(" in text] == ["image_classifier"]


def test_held_out_digits_are_read_light_on_dark_and_dark_on_light(classifier: ImageClassifier) -> None:
    test = split(digits())[1]
    assert len(test) == 1797 - HELD_OUT
    for kind, images in (("light_on_dark", test), ("dark_on_light", test.inverted())):
        found = labels(classifier, *images.files)
        accuracy = np.mean([LABELS.index(label) for label in found] == images.digits)
        assert accuracy == pytest.approx(ARTIFACT.evaluation[kind]["accuracy"], abs=0.003)
        assert accuracy > max(ARTIFACT.evaluation["baseline_accuracy"].values())


def test_no_held_out_digit_was_trained_on() -> None:
    training, test = split(digits())
    assert len(training) == ARTIFACT.manifest["data"]["trained_on"] == HELD_OUT
    assert not set(training.files) & set(test.files)


def test_the_probabilities_are_calibrated() -> None:
    for kind in ("light_on_dark", "dark_on_light", "enlarged_jpeg"):
        assert ARTIFACT.evaluation[kind]["calibration_error"] < 0.03


LOAD_IN_A_FORK = """
import os, sys
from base64 import b64decode
from pathlib import Path
from models.image_classifier.examples import EIGHT
from models.image_classifier.model import load
child = os.fork()
if child == 0:
    found = load(Path(sys.argv[1])).predict({"image": [b64decode(EIGHT)], "top_n": [1]})
    os._exit(int(found["label"][0]))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_can_load_and_classify_when_its_parent_has_loaded_nothing() -> None:
    command = [sys.executable, "-c", LOAD_IN_A_FORK, str(ARTIFACT.path)]
    assert subprocess.run(command, cwd=FOLDER.parent, timeout=60, check=False).returncode == 8
