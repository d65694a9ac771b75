"""PREDICTION_RETENTION_DAYS: ages for all models and by model, and what is refused, with the setting's name."""

import pytest
from pydantic import ValidationError

from cli.retention_settings import RetentionSettings, parse
from telemetry.settings_errors import sentences


def test_an_age_is_that_of_all_models_but_those_that_have_their_own() -> None:
    ages = parse("365, report_scorer=90,translator=forever")
    assert [ages.of(model) for model in ("image_classifier", "report_scorer", "translator")] == [365, 90, None]
    only = parse("report_scorer=90")
    assert [only.of(model) for model in ("report_scorer", "translator")] == [90, None]
    assert parse("").of("report_scorer") is None


@pytest.mark.parametrize(
    "setting",
    [
        "0",
        "-1",
        "1.5",
        "soon",
        "30d",
        "forever",
        "365,90",
        "365,",
        "=90",
        "report_scorer=",
        "a=1,a=2",
        "A B=1",
        "36501",
    ],
)
def test_nonsense_is_refused_by_the_settings_name(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICTION_RETENTION_DAYS", setting)
    with pytest.raises(ValidationError) as refused:
        RetentionSettings()
    (sentence,) = sentences(refused.value)
    assert sentence.startswith("PREDICTION_RETENTION_DAYS is not valid: ")
    assert "365,report_scorer=90" in sentence
