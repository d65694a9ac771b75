"""Models that operators add, in containers, by the commands of docs/how-to/models.md as they stand there.

Needs a Docker engine: `make test-compose`.
"""

import json
from pathlib import Path

import httpx
import pytest

from tests.documented import commands
from tests.running import ROOT, eventually
from tests.stack import PROJECT, Stack, run

pytestmark = pytest.mark.compose

PAGE = "docs/how-to/models.md"


def typed(stack: Stack, begin: str, *words: str, **replaced: str) -> None:
    """Type the page's commands from the one that begins so, those that hold one of these words."""
    texts = [command.text for command in commands(PAGE)]
    start = next(place for place, text in enumerate(texts) if text.startswith(begin))
    for text in texts[start:]:
        if any(word in text for word in words):
            for printed, real in replaced.items():
                text = text.replace(printed, real)
            stack.shell(text, ROOT)


def test_a_model_that_is_code_runs_in_a_container_of_its_own(stack: Stack) -> None:
    stack.configure(ALLOW_MODEL_CODE="readability")
    stack.up()
    try:
        run(["docker", "build", "--target", "code-model", "--tag", "millrace-code-model", "."])
        typed(stack, "docker build", "readability", millrace_code=f"{PROJECT}_code")
        (host,) = json.loads(run(["docker", "inspect", "readability"]))
        assert host["Config"]["User"] == "10002:10002"
        assert host["HostConfig"]["NetworkMode"] == "none"
        text = [{"text": "Stop it. You are a bot!"}]
        accepted = eventually(lambda: submitted(stack, "readability", text))
        assert stack.finished(accepted)["ease"] == [pytest.approx(119.19, abs=0.01)]
        assert stack.psql("SELECT text FROM readability_rows") == text[0]["text"]
        secrets = run(["docker", "exec", "readability", "sh", "-c", "env; ls /run; ls /run/secrets 2>&1 || true"])
        assert "postgresql" not in secrets
        assert "No such file" in secrets
    finally:
        stack.shell("docker rm --force readability", ROOT)


def test_a_model_file_is_added_promoted_and_served(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "churn"
    folder.mkdir()
    model = ROOT / "models" / "report_scorer" / "artifact" / "1.0.0" / "model.ubj"
    (folder / "model.ubj").write_bytes(model.read_bytes())
    folder.chmod(0o755)
    folder.parent.chmod(0o755)
    typed(stack, "docker-compose run --rm -v ./churn", "churn", **{"./churn": str(folder)})
    card = eventually(lambda: card_of(stack, "churn"))
    inputs = [dict.fromkeys(card["input"]["properties"], 1)]
    accepted = eventually(lambda: submitted(stack, "churn", inputs))
    assert stack.finished(accepted)["status"] == "SUCCESS"


def submitted(stack: Stack, model: str, inputs: list[dict[str, object]]) -> str | None:
    answer = stack.client.post(f"/models/{model}/submit", json=inputs)
    return answer.json()["task_id"] if answer.status_code == 202 else None


def card_of(stack: Stack, model: str) -> dict[str, dict[str, object]] | None:
    answer: httpx.Response = stack.client.get(f"/models/{model}")
    found: dict[str, dict[str, object]] = answer.json()
    return found if answer.status_code == 200 else None
