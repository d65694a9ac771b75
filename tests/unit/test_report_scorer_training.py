import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.report_scorer import train as training
from models.report_scorer.dataset import ReportDataset, split, synthesize
from models.report_scorer.evaluate import main as evaluate
from models.report_scorer.evaluate import measure
from models.report_scorer.features import FEATURES
from models.report_scorer.model import load
from models.report_scorer.reports_file import read_reports
from serving.artifact import Artifact, current, sha256
from serving.catalogue import FOLDER
from serving.training import BadTrainingData

SHIPPED = FOLDER / "report_scorer" / "artifact" / training.VERSION
ARTIFACT = Artifact(SHIPPED, json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8")))


@pytest.fixture
def shipped_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """Own reports may have been trained on in this checkout since."""
    monkeypatch.setattr("models.report_scorer.evaluate.current", lambda name: ARTIFACT)


@pytest.fixture(scope="module")
def data() -> ReportDataset:
    return synthesize(2_000, seed=3)


def as_lists(data: ReportDataset) -> dict[str, list[Any]]:
    return {name: values.tolist() for name, values in data.columns.items()}


def write(data: ReportDataset, file: Path, **changes: Any) -> Path:
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
def test_training_on_a_file_is_deterministic_and_loads(tmp_path: Path, data: ReportDataset, suffix: str) -> None:
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


def test_weights_count_and_the_rows_of_the_split_test(tmp_path: Path, data: ReportDataset) -> None:
    """A report of weight 3 is as three of it, and what the file holds out is what the evaluation rests on."""
    held_out = np.arange(len(data)) >= 1_500
    weight = np.where(data.columns["abuse_type"] == "PRF", 3.0, 1.0)
    parts = np.where(held_out, "test", "train").tolist()
    file = write(data, tmp_path / "weighted.parquet", weight=weight.tolist(), split=parts)
    read = read_reports(file, "label", "weight", "split")
    trained, calibrated, tested = split(read, seed=7)
    assert sorted(tested.columns["report_text_len"]) == sorted(data.columns["report_text_len"][held_out])
    assert (len(trained), len(calibrated)) == (pytest.approx(1_125, abs=2), pytest.approx(375, abs=2))
    scores = {}
    for name, columns in {"plain": (), "weighted": ("--weight", "weight")}.items():
        given = ["--data", str(file), "--label", "label", "--split", "split", *columns, "--out", str(tmp_path / name)]
        assert training.main(given) == 0
        (made,) = (tmp_path / name).glob("data-*")
        assert json.loads((made / "evaluation.json").read_text())["rows"] == 500
        scores[name] = load(made).predict(data.columns)["score"]
    assert json.loads((made / "manifest.json").read_text())["data"]["stands_for"] == round(weight.sum())
    assert np.abs(scores["plain"] - scores["weighted"]).max() > 0.001


def test_a_weighted_row_is_measured_as_that_many_rows(data: ReportDataset) -> None:
    times = np.where(data.columns["abuse_type"] == "PRF", 3, 1)
    score = np.random.default_rng(1).random(len(data))
    weighted = measure(data.label, score, times.astype(float))
    repeated = measure(np.repeat(data.label, times), np.repeat(score, times))
    for name in ("roc_auc", "average_precision", "log_loss", "brier"):
        assert weighted[name] == pytest.approx(repeated[name], abs=1e-5)
    for share, found in weighted["precision_at_top"].items():
        assert found == pytest.approx(repeated["precision_at_top"][share], abs=0.06)  # 28 rows and more; a row is cut
    assert measure(data.label, score) == measure(data.label, score, np.ones(len(data)))


def test_a_file_that_says_which_rows_test_is_not_dealt_out_anew(
    tmp_path: Path, data: ReportDataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = np.where(np.arange(len(data)) >= 1_500, "test", "train").tolist()
    file = write(data, tmp_path / "r.parquet", weight=[2.0] * len(data), split=parts)
    out = tmp_path / "artifacts"
    given = ["--data", str(file), "--split", "split", "--weight", "weight"]
    assert training.main([*given, "--out", str(out)]) == 0
    made = current("report_scorer", out)
    monkeypatch.setattr("models.report_scorer.evaluate.current", lambda name: made)
    capsys.readouterr()
    assert evaluate(given[:2]) == 2
    assert "give that column here, too" in capsys.readouterr().err
    assert evaluate(given[:4]) == 2
    assert "trained with --weight" in capsys.readouterr().err
    assert evaluate(given) == 0
    assert " 500 held-out rows" in capsys.readouterr().out


@pytest.mark.parametrize(("column", "value", "why"), [("weight", -1.0, "no weight"), ("split", "tset", "no part")])
def test_a_wrong_weight_or_part_is_refused_by_row(
    tmp_path: Path, data: ReportDataset, column: str, value: Any, why: str
) -> None:
    good: dict[str, Any] = {"weight": [1.0] * len(data), "split": ["train"] * len(data)}
    file = write(data, tmp_path / "r.parquet", **(good | {column: changed(good[column], 3, value)}))
    with pytest.raises(BadTrainingData, match=f"row 3, column {column}: .* is {why}"):
        read_reports(file, "label", "weight", "split")


def test_a_csv_and_a_parquet_file_are_read_alike(tmp_path: Path, data: ReportDataset) -> None:
    from_csv, from_parquet = (read_reports(write(data, tmp_path / f"r.{kind}"), "label") for kind in ("csv", "parquet"))
    for name in FEATURES:
        assert from_csv.columns[name].tolist() == from_parquet.columns[name].tolist() == data.columns[name].tolist()
    assert from_csv.label.tolist() == from_parquet.label.tolist() == data.label.tolist()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("column", "row", "value", "found"),
    [
        ("abuse_type", 3, "VID", "row 3, column abuse_type: Must be 'MSG' or 'PRF', not 'VID'"),
        ("report_text_len", 7, -1, "row 7, column report_text_len: Must be at least 0, not -1"),
        ("popularity", 1, 6, "row 1, column popularity: Must be at most 5, not 6"),
        (
            "lifetime_matches_created",
            2_000,
            2**31,
            "row 2000, column lifetime_matches_created: Must be at most 2147483647, not 2147483648",
        ),
        ("profile_rating", 9, None, "row 9, column profile_rating: the cell is empty"),
        ("profile_rating", 9, float("nan"), "row 9, column profile_rating: Must be a finite number"),
        ("label", 5, 2, "row 5, column label: '?2'? is not a label"),
        ("label", 5, None, "row 5, column label: an empty cell is not a label"),
    ],
)
def test_bad_data_is_refused_by_row_and_column(
    tmp_path: Path, data: ReportDataset, suffix: str, column: str, row: int, value: Any, found: str
) -> None:
    values = data.label.tolist() if column == "label" else data.columns[column].tolist()
    file = write(data, tmp_path / f"bad{suffix}", **{column: changed(values, row, value)})
    with pytest.raises(BadTrainingData, match=found):
        read_reports(file, "label")


def test_a_word_among_the_numbers_of_a_csv_is_found(tmp_path: Path, data: ReportDataset) -> None:
    popularity = changed([str(value) for value in data.columns["popularity"]], 4, "many")
    file = write(data, tmp_path / "bad.csv", popularity=popularity)
    with pytest.raises(BadTrainingData, match="row 4, column popularity: 'many' is not a whole number"):
        read_reports(file, "label")


def test_rows_past_the_first_slice_are_checked_and_counted(
    tmp_path: Path, data: ReportDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.report_scorer.reports_file.SLICE", 300)
    file = write(data, tmp_path / "bad.csv", popularity=changed(data.columns["popularity"].tolist(), 1_234, 6))
    with pytest.raises(BadTrainingData, match="row 1234, column popularity"):
        read_reports(file, "label")


def test_a_missing_column_is_named(tmp_path: Path, data: ReportDataset) -> None:
    file = write(data, tmp_path / "bad.csv", popularity=None)
    with pytest.raises(BadTrainingData, match="column popularity is missing; the file has report_id, abuse_type"):
        read_reports(file, "label")


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "reports.xlsx"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadTrainingData, match=re.escape(name)):
        read_reports(tmp_path / name, "label")


def test_a_broken_csv_is_refused_in_one_line(tmp_path: Path) -> None:
    names = ",".join((*FEATURES, "label"))
    (tmp_path / "broken.csv").write_text(f'{names}\n1,2,3,4,5,6,7\n"x')
    with pytest.raises(
        BadTrainingData, match=r"broken\.csv: row 1: it has 7 cells, the line of names has 6"
    ) as refusal:
        read_reports(tmp_path / "broken.csv", "label")
    assert "\n" not in str(refusal.value)


def test_bad_data_leaves_everything_as_it_was(
    tmp_path: Path, data: ReportDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ARTIFACT.path.parent, tmp_path / "artifact")
    before = hashes(tmp_path / "artifact")
    one_class = write(data, tmp_path / "one_class.csv", label=[0] * len(data))
    for file, problem in ((one_class, "0 rows have the label 1"), (tmp_path / "absent.csv", "no such file")):
        assert training.main(["--data", str(file), "--out", str(tmp_path / "artifact")]) == 2
        assert problem in capsys.readouterr().err
    assert hashes(tmp_path / "artifact") == before


def test_a_version_never_changes_its_contents(
    tmp_path: Path, data: ReportDataset, capsys: pytest.CaptureFixture[str]
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
    tmp_path: Path, data: ReportDataset, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    file = write(data, tmp_path / "reports.csv")
    assert training.main(["--data", str(file), f"--version={version}", "--out", str(tmp_path / "out")]) == 2
    assert "use up to 64" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("failing", ["evaluate", "write_golden", "calibrate"])
def test_a_training_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, data: ReportDataset, monkeypatch: pytest.MonkeyPatch, failing: str
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


def test_retraining_gives_the_shipped_model_again(tmp_path: Path) -> None:
    """Not its bytes: another processor or library rounds sums otherwise, and a split may move with them."""
    assert training.main(["--version", ARTIFACT.version, "--out", str(tmp_path)]) == 0
    retrained = tmp_path / ARTIFACT.version
    manifest, evaluation = (json.loads((retrained / f"{name}.json").read_text()) for name in ("manifest", "evaluation"))
    assert manifest["data"] == ARTIFACT.manifest["data"]
    for scorer in ("model", "baseline", "ceiling"):
        for metric in ("roc_auc", "average_precision", "brier"):
            assert evaluation[scorer][metric] == pytest.approx(ARTIFACT.evaluation[scorer][metric], abs=2e-3)
    columns = synthesize(2_000, seed=5).columns
    scores = [load(folder).predict(columns)["score"] for folder in (retrained, SHIPPED)]
    assert np.corrcoef(scores)[0, 1] > 0.999


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
    tmp_path: Path, data: ReportDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(data, tmp_path / "reports.csv")
    assert evaluate(["--data", str(file), "--json", str(tmp_path / "e.json")]) == 0
    assert "ceiling" not in json.loads((tmp_path / "e.json").read_text())
    assert "401 held-out rows of reports.csv" in capsys.readouterr().out
