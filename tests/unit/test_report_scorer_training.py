import json
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from models.artifact import Artifact, sha256
from models.catalogue import ROOM
from models.report_scorer import train as training
from models.report_scorer.dataset import Dataset, synthesize
from models.report_scorer.evaluate import main as evaluate
from models.report_scorer.features import FEATURES
from models.report_scorer.model import load
from models.report_scorer.reports_file import BadData, read
from models.training import libraries as libraries_now

SHIPPED = ROOM / "report_scorer" / "artifact" / training.VERSION
ARTIFACT = Artifact(SHIPPED, json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8")))


@pytest.fixture
def shipped_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """Own reports may have been trained on in this checkout since."""
    monkeypatch.setattr("models.report_scorer.evaluate.current", lambda name: ARTIFACT)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthesize(2_000, seed=3)


def as_lists(data: Dataset) -> dict[str, list[Any]]:
    return {name: values.tolist() for name, values in data.columns.items()}


def write(data: Dataset, file: Path, **changes: Any) -> Path:
    columns = {"report_id": range(len(data)), **as_lists(data), "label": data.label.tolist(), **changes}
    frame = pl.DataFrame({name: values for name, values in columns.items() if values is not None}, strict=False)
    if file.suffix == ".csv":
        frame.write_csv(file)
    else:
        frame.write_parquet(file)
    return file


def changed(values: Any, row: int, value: Any) -> list[Any]:
    return [*values[: row - 1], value, *values[row:]]


def hashes(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): sha256(file) for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_training_on_a_file_is_deterministic_and_loads(tmp_path: Path, data: Dataset, suffix: str) -> None:
    file = write(data, tmp_path / f"reports{suffix}")
    for out in ("one", "two"):
        assert training.main(["--data", str(file), "--out", str(tmp_path / out)]) == 0
    version = f"data-{sha256(file)[:8]}"
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert (tmp_path / "one" / "CURRENT").read_text() == f"{version}\n"
    manifest = json.loads((tmp_path / "one" / version / "manifest.json").read_text())
    assert manifest["data"] == {
        "source": file.name,
        "rows": 2_000,
        "positives": int(data.label.sum()),
        "sha256": sha256(file),
        "seed": 7,
    }
    assert "ceiling" not in json.loads((tmp_path / "one" / version / "evaluation.json").read_text())
    assert len(load(tmp_path / "one" / version).predict(data.columns)["score"]) == len(data)
    assert {path.name for path in (tmp_path / "one").iterdir()} == {version, "CURRENT"}


def test_a_csv_and_a_parquet_file_are_read_alike(tmp_path: Path, data: Dataset) -> None:
    from_csv, from_parquet = (read(write(data, tmp_path / f"r.{kind}"), "label") for kind in ("csv", "parquet"))
    for name in FEATURES:
        assert from_csv.columns[name].tolist() == from_parquet.columns[name].tolist() == data.columns[name].tolist()
    assert from_csv.label.tolist() == from_parquet.label.tolist() == data.label.tolist()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("column", "row", "value", "found"),
    [
        ("abuse_type", 3, "VID", "row 3, column abuse_type: Input should be 'MSG' or 'PRF', found 'VID'"),
        ("report_text_len", 7, -1, "row 7, column report_text_len: .* greater than or equal to 0, found -1"),
        ("popularity", 1, 6, "row 1, column popularity: .* less than or equal to 5, found 6"),
        ("lifetime_matches_created", 2_000, 2**31, "row 2000, column lifetime_matches_created: .* found 2147483648"),
        ("profile_rating", 9, None, "row 9, column profile_rating: the cell is empty"),
        ("profile_rating", 9, float("nan"), "row 9, column profile_rating: .* finite number, found nan"),
        ("label", 5, 2, "row 5, column label: '?2'? is not a label"),
        ("label", 5, None, "row 5, column label: an empty cell is not a label"),
    ],
)
def test_bad_data_is_refused_by_row_and_column(
    tmp_path: Path, data: Dataset, suffix: str, column: str, row: int, value: Any, found: str
) -> None:
    values = data.label.tolist() if column == "label" else data.columns[column].tolist()
    file = write(data, tmp_path / f"bad{suffix}", **{column: changed(values, row, value)})
    with pytest.raises(BadData, match=found):
        read(file, "label")


def test_a_word_among_the_numbers_of_a_csv_is_found(tmp_path: Path, data: Dataset) -> None:
    popularity = changed([str(value) for value in data.columns["popularity"]], 4, "many")
    file = write(data, tmp_path / "bad.csv", popularity=popularity)
    with pytest.raises(BadData, match="row 4, column popularity: 'many' is not a whole number"):
        read(file, "label")


def test_rows_past_the_first_slice_are_checked_and_counted(
    tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.report_scorer.reports_file.SLICE", 300)
    file = write(data, tmp_path / "bad.csv", popularity=changed(data.columns["popularity"].tolist(), 1_234, 6))
    with pytest.raises(BadData, match="row 1234, column popularity"):
        read(file, "label")


def test_a_missing_column_is_named(tmp_path: Path, data: Dataset) -> None:
    file = write(data, tmp_path / "bad.csv", popularity=None)
    with pytest.raises(BadData, match="column popularity is missing; the file has report_id, abuse_type"):
        read(file, "label")


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "reports.xlsx"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadData, match=re.escape(name)):
        read(tmp_path / name, "label")


def test_a_broken_csv_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_text('a,b\n1,2,3\n"x')
    with pytest.raises(BadData, match=r"broken\.csv: could not parse") as refusal:
        read(tmp_path / "broken.csv", "label")
    assert "\n" not in str(refusal.value)


def test_bad_data_leaves_everything_as_it_was(
    tmp_path: Path, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ARTIFACT.path.parent, tmp_path / "artifact")
    before = hashes(tmp_path / "artifact")
    one_class = write(data, tmp_path / "one_class.csv", label=[0] * len(data))
    for file, problem in ((one_class, "0 rows have the label 1"), (tmp_path / "absent.csv", "no such file")):
        assert training.main(["--data", str(file), "--out", str(tmp_path / "artifact")]) == 2
        assert problem in capsys.readouterr().err
    assert hashes(tmp_path / "artifact") == before


def test_a_version_never_changes_its_contents(
    tmp_path: Path, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "artifact"
    shutil.copytree(ARTIFACT.path.parent, out)
    before = hashes(out)
    file = write(data, tmp_path / "reports.csv")
    assert training.main(["--data", str(file), f"--version={ARTIFACT.version}", "--out", str(out)]) == 2
    assert "exists with other contents" in capsys.readouterr().err
    assert hashes(out) == before


@pytest.mark.parametrize("version", ["../elsewhere", "CURRENT", ".hidden", "a/b", "v" * 65])
def test_a_version_that_is_no_folder_name_is_refused(
    tmp_path: Path, data: Dataset, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    file = write(data, tmp_path / "reports.csv")
    assert training.main(["--data", str(file), f"--version={version}", "--out", str(tmp_path / "out")]) == 2
    assert "use up to 64" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("failing", ["evaluate", "write_golden", "calibrate"])
def test_a_training_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    out = tmp_path / "artifact"
    shutil.copytree(ARTIFACT.path.parent, out)
    before = hashes(out)

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(training, failing, fail)
    with pytest.raises(OSError, match="no space left"):
        training.train(data, "2.0.0", out)
    assert hashes(out) == before
    assert {path.name for path in out.iterdir()} == {path.name for path in ARTIFACT.path.parent.iterdir()}


def test_retraining_gives_the_committed_bytes(tmp_path: Path) -> None:
    here, there = (
        {name: version for name, version in libraries.items() if name != "python"}
        for libraries in (libraries_now(*training.LIBRARIES), ARTIFACT.manifest["libraries"])
    )
    if here != there:
        pytest.skip(f"the artifact was made with {there}, here is {here}")
    assert training.main(["--version", ARTIFACT.version, "--out", str(tmp_path)]) == 0
    retrained = json.loads((tmp_path / ARTIFACT.version / "manifest.json").read_text())
    assert retrained["sha256"] == ARTIFACT.manifest["sha256"]


@pytest.mark.usefixtures("shipped_is_current")
def test_evaluating_reproduces_the_recorded_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(["--json", str(tmp_path / "e.json"), "--plot", str(tmp_path / "r.svg")]) == 0
    found = json.loads((tmp_path / "e.json").read_text())
    for scorer in ("model", "baseline", "ceiling"):
        assert found[scorer]["roc_auc"] == pytest.approx(ARTIFACT.evaluation[scorer]["roc_auc"], abs=1e-4)
    assert (tmp_path / "r.svg").read_text().startswith("<svg")
    assert "| roc_auc |" in capsys.readouterr().out


@pytest.mark.usefixtures("shipped_is_current")
def test_the_shipped_model_can_be_measured_on_other_reports(
    tmp_path: Path, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(data, tmp_path / "reports.csv")
    assert evaluate(["--data", str(file), "--json", str(tmp_path / "e.json")]) == 0
    assert "ceiling" not in json.loads((tmp_path / "e.json").read_text())
    assert "401 held-out rows of reports.csv" in capsys.readouterr().out
