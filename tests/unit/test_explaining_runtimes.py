"""Programs without a model's library know which models can say what their scores are made of."""

from serving import catalogue
from serving.explanation import RUNTIMES
from tests.running import ROOT


def test_what_explains_is_what_has_an_explainer() -> None:
    files = [*(ROOT / "runtimes").glob("*_model.py"), *(ROOT / "models").glob("*/model.py")]
    having = {file for file in files if "    def explain(" in file.read_text()}
    assert {file.stem.removesuffix("_model") for file in having if file.parent.name == "runtimes"} == RUNTIMES
    explaining = {name for name, spec in catalogue.specs().items() if spec.explains}
    assert {file.parent.name for file in having if file.parent.name != "runtimes"} == explaining
