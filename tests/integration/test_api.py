"""The HTTP interface as a client sees it, on a platform that is whole."""

import json
import math
import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from cli.explain import explain
from serving.catalogue import specs
from tests.running import REPORT, Platform

TASK_FIELDS = ["task_id", "status", "model", "model_version", "n_inputs", "submitted_at", "started_at", "finished_at"]


def test_a_submission_is_answered_with_its_task_and_where_to_read_it(platform: Platform) -> None:
    answer = platform.client.post("/submit", json=[REPORT, REPORT])
    task_id = answer.json()["task_id"]
    assert answer.status_code == 202
    assert answer.json() == {"task_id": task_id, "status": "PENDING"}
    assert answer.headers["location"] == f"/task/{task_id}"
    assert platform.client.get(answer.headers["location"]).json()["n_inputs"] == 2


def test_a_finished_task_has_everything_and_reads_the_same_twice(platform: Platform) -> None:
    task_id = platform.submit(REPORT, REPORT | {"popularity": 0}, REPORT)
    platform.finished(task_id)
    first, second = (platform.client.get(f"/task/{task_id}") for _ in range(2))
    task = first.json()
    assert first.text == second.text
    assert list(task) == [*TASK_FIELDS, "error", "score"]
    assert task["model"] == "report_scorer"
    assert task["error"] is None
    assert task["score"][0] == task["score"][2] != task["score"][1]
    assert all(0 <= score <= 1 for score in task["score"])
    assert task["submitted_at"] <= task["started_at"] <= task["finished_at"]
    assert datetime.fromisoformat(task["submitted_at"]).utcoffset() == timedelta(0)


def test_the_callers_own_keys_come_back_beside_the_scores(platform: Platform) -> None:
    task = platform.finished(platform.submit(REPORT | {"report_id": "é/1"}, REPORT))
    assert task["report_id"] == ["é/1", None]
    assert "report_id" not in platform.finished(platform.submit(REPORT))


def test_ten_thousand_reports_are_one_task(platform: Platform) -> None:
    task = platform.finished(platform.submit(*[REPORT | {"report_text_len": n} for n in range(10_000)]))
    assert task["status"] == "SUCCESS"
    assert len(task["score"]) == task["n_inputs"] == 10_000  # type: ignore[arg-type]


def test_a_task_tells_what_its_scores_are_made_of_when_asked(platform: Platform) -> None:
    reports = [REPORT | {"report_id": f"made-of-{number}", "popularity": number} for number in range(3)]
    task_id = platform.submit(*reports)
    score = platform.finished(task_id)["score"]
    path = f"/task/{task_id}"
    assert "explanations" not in platform.client.get(path).json()
    none = platform.client.get(path, params={"explain": "true"}).json()["explanations"]
    assert none["base"] == [None] * 3
    command = f"""millrace explain report_scorer@1.0.0 --where "task_id = '{task_id}'\""""
    assert none["missing"] == f"Nobody has explained 3 of 3 inputs; run `{command}`."
    where = ["report_scorer", "--where", "report_id IN ('made-of-0', 'made-of-2')"]
    env = {"DATABASE_URL": platform.database_url}
    run = CliRunner().invoke(explain, where, env=env, help_option_names=["-h", "--help"])
    assert run.exit_code == 0, run.output
    found = platform.client.get(path, params={"explain": "true"}).json()["explanations"]
    assert set(found["contributions"]) == set(REPORT)
    assert found["base"][1] is None
    assert found["missing"].startswith("Nobody has explained 1 of 3 inputs; run ")
    told = shlex.split(none["missing"].split("`")[1])[2:]
    rest = CliRunner().invoke(explain, told, env=env, help_option_names=["-h", "--help"])
    assert "1 predictions explained" in rest.output, "the command that the answer names explains what is left"
    assert platform.client.get(path, params={"explain": "true"}).json()["explanations"]["missing"] is None
    for place in (0, 2):
        margin = found["base"][place] + sum(part[place] for part in found["contributions"].values())
        assert 1 / (1 + math.exp(-margin)) == pytest.approx(score[place], abs=1e-5)  # type: ignore[index]
    wrong = platform.client.get(path, params={"explain": "maybe"})
    assert (wrong.status_code, wrong.json()["errors"][0]["parameter"]) == (422, "explain")


def test_a_model_that_cannot_say_what_its_scores_are_made_of_says_so(platform: Platform) -> None:
    given = platform.client.post("/models/text_classifier/submit", json=[specs()["text_classifier"].example])
    path = f"/task/{given.json()['task_id']}"
    platform.client.get(path, headers={"Prefer": "wait=30"})
    answer = platform.client.get(path, params={"explain": "true"}).json()
    assert "cannot say what its scores are made of" in answer["explanations"]["missing"]


def test_predict_answers_with_the_finished_task(platform: Platform) -> None:
    answer = platform.client.post("/predict", json=REPORT | {"report_id": "r-1"})
    assert answer.status_code == 200
    assert answer.json()["status"] == "SUCCESS"
    assert answer.json()["report_id"] == ["r-1"]
    assert answer.json() == platform.client.get(f"/task/{answer.json()['task_id']}").json()


def test_a_waiting_request_is_answered_as_soon_as_the_task_ends(platform: Platform) -> None:
    answer = platform.client.get(f"/task/{platform.submit(REPORT)}", headers={"Prefer": "wait=30"})
    late = datetime.now(UTC) - datetime.fromisoformat(answer.json()["finished_at"])
    assert answer.json()["status"] == "SUCCESS"
    assert answer.headers["preference-applied"] == "wait=30"
    assert answer.headers["vary"] == "Accept, Prefer"
    assert late < timedelta(seconds=25), "it was not told, its time was over"


def test_an_unknown_task_is_not_found_and_not_waited_for(platform: Platform) -> None:
    unknown = "019a9f5e-7d3a-7c1e-9b64-0b8d0f3f9a01"
    began = time.monotonic()
    answer = platform.client.get(f"/task/{unknown}", headers={"Prefer": "wait=30"})
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"Unknown task {unknown}: no task of yours has this id."
    assert time.monotonic() - began < 30, "it waited"


def test_a_model_is_submitted_to_by_its_name(platform: Platform) -> None:
    answer = platform.client.post("/models/report_scorer/submit", json=[REPORT])
    assert answer.status_code == 202
    assert platform.finished(answer.json()["task_id"])["model"] == "report_scorer"


def test_models_are_listed_with_their_version_and_where_to_submit(platform: Platform) -> None:
    listed = {model["name"]: model for model in platform.client.get("/models").json()}
    model = listed["report_scorer"]
    assert model["submit"] == "/models/report_scorer/submit"
    assert model["processes"] == 1
    assert model["version"] == platform.finished(platform.submit(REPORT))["model_version"]


def test_a_models_card_has_its_schemas_and_its_evaluation(platform: Platform) -> None:
    card = platform.client.get("/models/report_scorer").json()
    assert set(REPORT) | {"report_id"} == set(card["input"]["properties"])
    assert list(card["output"]["properties"]) == ["score"]
    assert card["max_inputs"] == 10_000
    assert card["evaluation"]


def pages(platform: Platform, **wanted: object) -> Iterator[list[dict[str, Any]]]:
    query: dict[str, Any] = dict(wanted)
    while True:
        page = platform.client.get("/tasks", params=query).json()
        yield page["tasks"]
        if page["next"] is None:
            return
        query["before"] = page["next"]


def test_pages_show_every_task_once_while_new_ones_arrive(platform: Platform) -> None:
    submitted = [platform.submit(REPORT) for _ in range(25)]
    seen = []
    for page in pages(platform, limit=7):
        assert len(page) <= 7
        seen += [task["task_id"] for task in page]
        platform.submit(REPORT)
    assert seen[:25] == submitted[::-1]
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, reverse=True)


def test_the_last_page_says_that_it_is_the_last(platform: Platform) -> None:
    after = platform.client.get(f"/task/{platform.submit(REPORT)}").json()["submitted_at"]
    platform.submit(REPORT)
    listed = [len(page) for page in pages(platform, limit=1, submitted_after=after)]
    assert listed == [1, 1]


def test_tasks_are_filtered_by_status_model_and_time(platform: Platform) -> None:
    tasks = [platform.finished(platform.submit(REPORT)) for _ in range(3)]
    between = {"submitted_after": tasks[1]["submitted_at"], "submitted_before": tasks[2]["submitted_at"]}

    def listed(**wanted: object) -> list[object]:
        return [task["task_id"] for page in pages(platform, **between, **wanted) for task in page]

    assert listed() == [tasks[1]["task_id"]]
    assert listed(status="SUCCESS", model="report_scorer") == [tasks[1]["task_id"]]
    assert listed(status="FAILURE") == listed(model="another") == []


def test_a_listed_task_is_the_task_without_its_outputs(platform: Platform) -> None:
    task = platform.finished(platform.submit(REPORT))
    listed = platform.client.get("/tasks", params={"submitted_after": str(task["submitted_at"])}).json()["tasks"]
    assert listed == [{name: value for name, value in task.items() if name != "score"}]


def test_health_says_that_all_is_well(platform: Platform) -> None:
    assert platform.client.get("/heartbeat").json() == {"message": "Service Ok"}
    assert platform.client.get("/health/live").json() == {"message": "Service Ok"}
    ready = platform.client.get("/health/ready")
    assert ready.status_code == 200
    models = dict.fromkeys(specs(), 1)
    assert ready.json() == {
        "ready": True,
        "postgres": "ok",
        "schema_revision": "ok",
        "redis": "ok",
        "models": models,
        "unloaded": {},
    }


@pytest.fixture(scope="module")
def document(platform: Platform) -> dict[str, Any]:
    found: dict[str, Any] = platform.client.get("/openapi.json").json()
    return found


def references(part: object) -> Iterator[str]:
    for value in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from references(value)
    if isinstance(part, dict) and isinstance(part.get("$ref"), str):
        yield part["$ref"]


def exemplified(schema: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether a reader of the schema sees an example of each of its parts."""
    if "examples" in schema or "enum" in schema or schema == {"type": "null"}:
        return True
    if "$ref" in schema:
        return exemplified(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    parts = [
        *schema.get("properties", {}).values(),
        *schema.get("anyOf", []),
        *schema.get("oneOf", []),
        *schema.get("prefixItems", []),
        *filter(None, [schema.get("items")]),
    ]
    return bool(parts) and all(exemplified(part, document) for part in parts)


def test_every_reference_in_the_openapi_document_leads_somewhere(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert set(references(document)) == {
        f"#/components/{kind}/{name}" for kind, named in document["components"].items() for name in named
    }


def test_every_operation_documents_its_answers_with_examples(document: dict[str, Any]) -> None:
    problems = {"408", "409", "413", "415", "422", "503"}
    expected = {
        "post /submit": {"202", *problems},
        "post /models/report_scorer/submit": {"202", *problems},
        "post /predict": {"200", "202", *problems},
        "get /task/{task_id}": {"200", "404", "422", "503"},
        "get /tasks": {"200", "422", "503"},
        "get /models": {"200", "422", "503"},
        "get /models/{model}": {"200", "404", "409", "422", "503"},
        "get /heartbeat": {"200"},
        "get /health/live": {"200"},
        "get /health/ready": {"200", "503"},
    }
    operations = {f"{verb} {path}": it for path, verbs in document["paths"].items() for verb, it in verbs.items()}
    refusals = {"get": {"421"}, "post": {"403", "421"}}  # of other sites' pages, with AUTH=off
    for name, statuses in expected.items():
        assert set(operations[name]["responses"]) == statuses | refusals[name.partition(" ")[0]], name
    for name, operation in operations.items():
        assert operation["summary"], name
        for status, response in operation["responses"].items():
            assert response["description"] not in ("", "Successful Response"), (name, status)
            for content in response.get("content", {}).values():
                said = content.keys() & {"example", "examples"} or exemplified(content["schema"], document)
                assert said, (name, status)


def test_the_example_of_a_submission_is_accepted(platform: Platform, document: dict[str, Any]) -> None:
    for path in ("/submit", "/predict"):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        answer = platform.client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 202), answer.text


def test_the_page_of_documentation_loads(platform: Platform) -> None:
    page = platform.client.get("/docs")
    assert page.status_code == 200
    assert "url: 'openapi.json'" in page.text
