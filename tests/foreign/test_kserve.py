"""KServe's own client, unchanged: health, every model in JSON and in binary, and how it tells a refusal."""

import json
from typing import Any

import numpy as np
import pytest

from handler.protocol import tensors
from serving import artifact, catalogue
from tests.foreign.installed import HERE, run
from tests.running import Platform


def given(model: str) -> dict[str, Any]:
    """Return a model's golden rows without what may be left out, and the tensors that they make."""
    rows = [row["input"] for row in artifact.current(model).golden()][:3]
    columns = [column for column in catalogue.specs()[model].input_columns if all(column.name in row for row in rows)]
    named = [{"name": c.name, "datatype": tensors.datatype(c), "is_bytes": c.kind == "bytes"} for c in columns]
    return {"rows": rows, "columns": named}


@pytest.mark.timeout(300)
def test_kserves_client_gets_what_a_submission_gives(platform: Platform) -> None:
    models = {model: given(model) for model in catalogue.specs()}
    said = json.loads(run("python", HERE / "kserve_program.py", platform.url, given=json.dumps(models)))
    assert (said["live"], said["ready"], said["missing"]) == (True, True, False)
    assert "abuse_type" in said["refused"]
    for model, spec in catalogue.specs().items():
        accepted = platform.client.post(f"/models/{model}/submit", json=models[model]["rows"]).json()
        submitted = platform.finished(accepted["task_id"])
        assert said[model]["ready"] is True
        for binary in ("binary=False", "binary=True"):
            for column in spec.output_columns:
                found, expected = said[model][binary][column.name], submitted[column.name]
                same = found == expected if "text" in column.kind else np.allclose(found, np.array(expected))
                assert same, (model, binary, column.name, found, expected)
