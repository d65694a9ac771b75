"""What is no model that is data is refused by its content, runs nothing, and the refusal names the remedy."""

import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.inspection import ModelRefused, inspect
from serving.catalogue import FOLDER
from tests.foreign_files import FOREIGN

MODEL = FOLDER / "report_scorer" / "artifact" / "1.0.0" / "model.ubj"
CANARY = "canary"
GERMAN = str.maketrans(",.", ";,")


class Runs:
    """Leaves a file behind when somebody unpickles it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path(self._folder / CANARY),)  # type: ignore[return-value]


def model(folder: Path, toml: str = 'file = "model.ubj"\n', sample: str | None = None) -> Path:
    """Make a folder with a good model, this model.toml and this sample."""
    made = folder / "churn"
    made.mkdir()
    (made / "model.ubj").write_bytes(MODEL.read_bytes())
    (made / "model.toml").write_text(toml)
    if sample is not None:
        (made / "sample.csv").write_text(sample)
    return made


def file(content: bytes, name: str = "model.ubj") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def pickled(folder: Path) -> Path:
    (folder / "model.ubj").write_bytes(pickle.dumps(Runs(folder)))
    return folder / "model.ubj"


def archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "model.onnx", "w") as made:
        made.writestr("model/data.pkl", pickle.dumps(Runs(folder)))
    return folder / "model.onnx"


def zipped(name: str, first: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / name, "w") as made:
            made.writestr(first, b"content")
        return folder / name

    return make


def skops(name: str) -> Callable[[Path], Path]:
    """Make what skops 0.16 writes of a model of scikit-learn: arrays, and then the classes that they belong to."""

    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / name, "w") as made:
            made.writestr("139864916164112.npy", b"\x93NUMPY\x01\x00")
            made.writestr("schema.json", '{"__class__": "LogisticRegression", "__module__": "sklearn.linear_model"}')
        return folder / name

    return make


def weights(folder: Path) -> Path:
    """Make what the Hugging Face Hub has of a model: safetensors beside its configuration."""
    (folder / "model.safetensors").write_bytes(SAFETENSORS)
    (folder / "config.json").write_text('{"architectures": ["BertModel"]}')
    (folder / "README.md").write_text("# A model")
    return folder


def link(folder: Path) -> Path:
    (folder / "model.ubj").symlink_to(MODEL)
    return folder / "model.ubj"


def linked_inside(folder: Path) -> Path:
    made = model(folder)
    (made / "model.ubj").unlink()
    (made / "model.ubj").symlink_to("/etc/passwd")
    return made


def mlflow(text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        made = folder / "mlflow"
        made.mkdir()
        (made / "MLmodel").write_text(text)
        (made / "model.ubj").write_bytes(MODEL.read_bytes())
        (made / "code").mkdir()
        return made

    return make


def code(folder: Path) -> Path:
    (folder / "model.py").write_text(f"open({str(folder / CANARY)!r}, 'w')")
    return folder


HEADER = "abuse_type,report_text_len,profile_rating,popularity,lifetime_matches_created"
TOML = 'file = "model.ubj"\nsample = "sample.csv"\n'
PYFUNC = "flavors:\n  python_function:\n    loader_module: os\n    python_model: python_model.pkl\n"
BRINGS_CODE = "flavors:\n  xgboost:\n    data: model.ubj\n    code: code\n"
OUTSIDE = "flavors:\n  xgboost:\n    data: ../../etc/passwd\n"
TAG = "flavors: !!python/object/apply:os.system ['touch canary']\n"
BOMB = "a: &a [1, 1]\nb: &b [*a, *a]\nflavors: *b\n"

SAFETENSORS = (8).to_bytes(8, "little") + b'{"w":{}}' + bytes(50)
"""A file whose first byte is also ONNX's."""
WAYS = r"folder with a model\.py\), or name a server .* model\.toml"
FORMATS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "safetensors": (file(SAFETENSORS, "model.safetensors"), f"^model.safetensors: it is safetensors.*ONNX.*{WAYS}"),
    "safetensors of 376 bytes of header": (file(b"x\x01" + bytes(6) + b"{}", "m.bin"), "it is safetensors"),
    "a folder of safetensors": (weights, "^model.safetensors: it is safetensors"),
    "an array of NumPy": (file(b"\x93NUMPY\x01\x00" + bytes(50), "w.npy"), f"arrays of NumPy.*XGBoost.*{WAYS}"),
    "arrays of NumPy": (zipped("w.npz", "arr_0.npy"), "arrays of NumPy"),
    "HDF5": (file(b"\x89HDF\r\n\x1a\n" + bytes(50), "model.h5"), f"Keras.*ONNX.*{WAYS}"),
    "Keras": (zipped("model.keras", "metadata.json"), "Keras"),
    "PyTorch": (zipped("model.pt", "model/data.pkl"), "PyTorch.*ONNX"),
    "TorchScript": (zipped("model.pth", "model/version"), "PyTorch.*ONNX"),
    "PyTorch before 1.6": (file(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(9), "m.pt"), "PyTorch.*ONNX"),
    "GGUF": (file(b"GGUF\x03\x00\x00\x00" + bytes(50), "model.gguf"), f"llama.cpp.*{WAYS}"),
    "PMML": (file(b'<?xml version="1.0"?>\n<PMML version="4.4">', "model.pmml"), f"PMML.*{WAYS}"),
    "Core ML": (file(b"\x08\x04\x12\x20\x0a\x05" + bytes(50), "model.mlmodel"), "Core ML.*ONNX"),
    "Core ML by its name": (file(b"\x08\x04\x00", "model.mlmodel"), "Core ML"),
    "TensorFlow Lite": (file(b"\x1c\x00\x00\x00TFL3" + bytes(50), "model.tflite"), "TensorFlow Lite.*ONNX"),
    "a SavedModel": (file(b"\x08\x01\x12\x90\x03\x0a\x05" + bytes(50), "saved_model.pb"), "TensorFlow.*ONNX"),
    "an error page": (file(b"\n<!DOCTYPE html><html><title>404</title>", "model.onnx"), "web page.*download"),
    "a storage's error": (file(b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code>', "model.ubj"), "download"),
    "a pointer of Git LFS": (file(b"version https://git-lfs.github.com/spec/v1\noid", "model.onnx"), "git lfs pull"),
}
REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a pickle that is called a booster": (pickled, "skl2onnx"),
    "a zip with a pickle": (archive, "export the model to ONNX"),
    "joblib's compression": (file(b"x\x9c" + bytes(50)), "skl2onnx"),
    "skops": (skops("model.skops"), r"a skops file, .*convert the model(.|\n)*to_onnx\(model"),
    "skops by another name": (skops("model.onnx"), r"a skops file, .*convert the model(.|\n)*to_onnx\(model"),
    "a program": (file(b"\x7fELF" + bytes(50)), "add the model's own file"),
    "a script": (file(b"#!/bin/sh\ntouch canary\n"), "add the model's own file"),
    "an empty file": (file(b""), "save the model again"),
    "a text": (file(b"hello"), "XGBoost"),
    "JSON of something else": (file(b'{"a": 1}', "model.json"), "XGBoost"),
    "XGBoost's old format": (file(b"binf" + bytes(50)), "save_model"),
    "a damaged booster": (file(MODEL.read_bytes()[:3000]), "save the model again"),
    "a damaged ONNX": (file(b"\x08\x07\x12\x00" + b"\xff" * 60, "model.onnx"), "save the model again"),
    "a link": (link, "name the file itself"),
    "a link inside the folder": (linked_inside, "put the file itself into the folder"),
    "a file outside the folder": (lambda f: model(f, 'file = "../model.ubj"'), "put the file into it"),
    "an absolute file": (lambda f: model(f, 'file = "/etc/passwd"'), "put the file into it"),
    "a file that is not there": (lambda f: model(f, 'file = "other.ubj"'), "there is no file other.ubj"),
    "an unknown key of model.toml": (lambda f: model(f, TOML + 'loader = "os"\n'), "unknown key"),
    "a model.toml that is none": (lambda f: model(f, "file ="), "model.toml"),
    "an output with a word of the API": (lambda f: model(f, 'file = "model.ubj"\noutputs = ["status"]'), "status"),
    "a model's own code": (code, "say what predict returns"),
    "MLflow's pyfunc": (mlflow(PYFUNC), "log the model as xgboost"),
    "MLflow with code": (mlflow(BRINGS_CODE), "without code_paths"),
    "MLflow with a file outside": (mlflow(OUTSIDE), "the folder|code_paths"),
    "YAML that names a class": (mlflow(TAG), "not plain YAML"),
    "a YAML bomb": (mlflow(BOMB), "aliases"),
    "two columns of one name": (lambda f: model(f, TOML, f"{HEADER},popularity\n0,1,1,1,1,1\n"), "rename one"),
    "a right-to-left name": (lambda f: model(f, TOML, f"{HEADER},\u202eid\n0,1,1,1,1,1\n"), "invisible"),
    "a NUL in a name": (lambda f: model(f, TOML, f"{HEADER},i\0d\n0,1,1,1,1,1\n"), "invisible|NUL"),
    "a quote in a name": (lambda f: model(f, TOML, f'{HEADER},"i""d"\n0,1,1,1,1,1\n'), "rename the column"),
    "too many columns": (lambda f: model(f, TOML, ",".join(map(str, range(2000))) + "\n"), "fewer features"),
    "a short row": (lambda f: model(f, TOML, f"{HEADER}\n0,1\n"), "line 2 has 2 values"),
    "a short row below the separator": (
        lambda f: model(f, TOML, f"sep=,\n{HEADER}\n\n0,1\n"),
        "line 4 has 2 values",
    ),
    "a quote without an end": (
        lambda f: model(f, TOML, f'{HEADER}\n0,1,1,1,1\n"0,1,1,1,1\n0,1,1,1,1\n'),
        "sample.csv: malformed near line 3: a quote is opened and never closed",
    ),
    "texts where the model has numbers": (lambda f: model(f, TOML, f"{HEADER}\n0,long,1,1,1\n"), "correct one of them"),
    "another model's expectation": (lambda f: model(f, TOML, f"{HEADER},expected\n0,1,1,1,1,0.5\n"), "another order"),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_the_remedy_and_nothing_runs(
    make: Callable[[Path], Path], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    path = make(folder)
    with pytest.raises(ModelRefused, match=words):
        inspect(path, name="churn")
    assert not list(tmp_path.rglob(CANARY))


@pytest.mark.parametrize(("make", "words"), FORMATS.values(), ids=FORMATS)
def test_a_format_that_is_not_taken_is_named_with_the_remedy_in_one_sentence(
    make: Callable[[Path], Path], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefused, match=words) as refused:
        inspect(make(tmp_path), name="churn")
    assert "\n" not in str(refused.value)
    assert "ONNXRuntimeError" not in str(refused.value)


def test_the_remedy_stands_before_the_words_of_a_library(tmp_path: Path) -> None:
    path = file(b"\x08\x07\x12\x00" + b"\xff" * 60, "model.onnx")(tmp_path)
    with pytest.raises(ModelRefused, match=r"^model\.onnx: onnx cannot read it; .* save the model again \(\[ONNXR"):
        inspect(path, name="churn")


@pytest.mark.parametrize("kind", sorted(FOREIGN.keys() - {"a Parquet file"}))
def test_a_sample_of_another_kind_is_named_with_its_remedy(tmp_path: Path, kind: str) -> None:
    content, words = FOREIGN[kind]
    (tmp_path / "sample.csv").write_bytes(content)
    with pytest.raises(ModelRefused, match=re.escape(f"sample.csv: this is {words}")):
        inspect(MODEL, name="churn", sample=tmp_path / "sample.csv")


@pytest.mark.parametrize("before", ["", "sep=;\r\n", "\ufeffsep=;\n", "\n"])
def test_a_sample_is_read_as_excel_saves_it_whatever_the_case_of_its_name(tmp_path: Path, before: str) -> None:
    folder = model(tmp_path)
    (folder / "model.toml").unlink()
    (folder / "Sample.CSV").write_text(f"{before}{HEADER},id\n0,1,2.5,1,1,a\n0,1,3,1,1,b\n".translate(GERMAN))
    found = inspect(folder, name="churn")
    assert [row["input"]["profile_rating"] for row in found.golden] == [2.5, 3.0]


def test_a_name_like_sql_becomes_a_plain_column(tmp_path: Path) -> None:
    name = "x'; DROP TABLE tasks; --"
    found = inspect(model(tmp_path, TOML + f'key = "{name}"\n', f"{HEADER},{name}\n0,1,1,1,1,a\n"))
    assert found.schema.key == "x_drop_table_tasks"
