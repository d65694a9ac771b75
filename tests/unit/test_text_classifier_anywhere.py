"""Where the text classifier runs: in any locale, in a forked process, without the libraries of the training."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.text_classifier.golden import TEXTS
from models.text_classifier.model import TextClassifier, load
from serving.catalogue import FOLDER

SHIPPED = FOLDER / "text_classifier" / "artifact" / "1.0.0"


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    return load(SHIPPED)


SERVE = """
import json, locale, os, sys
from pathlib import Path
locale.setlocale(locale.LC_ALL, "")
from models.text_classifier.golden import TEXTS
from models.text_classifier.model import load
found = load(Path(sys.argv[1])).predict({"text": TEXTS})
heavy = {"sklearn", "scipy", "skl2onnx", "onnx", "polars"} & set(sys.modules)
print(json.dumps([found["label"], found["probabilities"], sorted(heavy), locale.setlocale(locale.LC_ALL)]))
"""


@pytest.fixture(scope="module")
def turkish(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that has the Turkish locale, in which an I in lower case is no i."""
    folder = tmp_path_factory.mktemp("locales")
    localedef = shutil.which("localedef")
    command = [str(localedef), "-i", "tr_TR", "-f", "UTF-8", str(folder / "tr_TR.UTF-8")]
    if localedef is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine cannot make a Turkish locale")
    yield folder
    shutil.rmtree(folder)


def served(**environment: str) -> list[Any]:
    command = [sys.executable, "-c", SERVE, str(SHIPPED)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    run = subprocess.run(
        command, cwd=FOLDER.parent, env=clean | environment, capture_output=True, timeout=60, check=True, text=True
    )
    found: list[Any] = json.loads(run.stdout)
    return found


def test_serving_needs_no_library_of_the_training(classifier: TextClassifier) -> None:
    assert served(LC_ALL="C.UTF-8")[2] == []


@pytest.mark.parametrize("utf8", ["0", "1"])
def test_the_c_locale_changes_nothing(classifier: TextClassifier, utf8: str) -> None:
    label, probabilities, _, locale = served(LC_ALL="C", PYTHONUTF8=utf8, PYTHONCOERCECLOCALE="0")
    here = classifier.predict({"text": TEXTS})
    assert (locale, label, probabilities) == ("C", here["label"], here["probabilities"])


def test_the_turkish_locale_changes_nothing(classifier: TextClassifier, turkish: Path) -> None:
    label, probabilities, _, locale = served(LC_ALL="tr_TR.UTF-8", LOCPATH=str(turkish))
    here = classifier.predict({"text": TEXTS})
    assert (locale, label, probabilities) == ("tr_TR.UTF-8", here["label"], here["probabilities"])


LOAD_IN_A_FORK = """
import os, sys
from pathlib import Path
from models.text_classifier.model import load
child = os.fork()
if child == 0:
    os._exit(len(load(Path(sys.argv[1])).predict({"text": ["puck", "orbit", ""]})["label"]))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_can_load_and_classify() -> None:
    command = [sys.executable, "-c", LOAD_IN_A_FORK, str(SHIPPED)]
    assert subprocess.run(command, cwd=FOLDER.parent, timeout=60, check=False).returncode == 3
