"""What KEDA asks PostgreSQL: the right number, with no rights but those that docs/how-to/kubernetes.md gives."""

import re

import pytest
import yaml  # type: ignore[import-untyped]
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from serving.catalogue import specs
from store.engine import connect
from tests.manifests import FOLDER
from tests.running import ROOT

PAGE = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")
SCALED = list(yaml.safe_load_all((FOLDER / "components" / "keda" / "workers.yaml").read_text(encoding="utf-8")))
QUERIES = [trigger["metadata"]["query"] for scaled in SCALED for trigger in scaled["spec"]["triggers"]]
COUNTS = {"PENDING": 3, "STARTED": 40, "SUCCESS": 500, "FAILURE": 6000}


def test_it_counts_what_waits_or_is_being_scored_and_can_read_nothing_else(engine: Engine, database_url: str) -> None:
    (role,) = re.findall(r"```sql\n(CREATE ROLE.*?)```", PAGE, re.S)
    row = "INSERT INTO tasks (id, model, status, n_inputs) VALUES (gen_random_uuid(), :model, :status, :inputs)"
    with engine.begin() as connection:
        connection.execute(text(role.replace("'…'", "'secret-of-the-scaler'")))
        for model in specs():
            for status, inputs in COUNTS.items():
                connection.execute(text(row), {"model": model, "status": status, "inputs": inputs})
    url = make_url(database_url).set(username="millrace_scaler", password="secret-of-the-scaler")
    scaler = connect(url.render_as_string(hide_password=False))
    with scaler.connect() as connection:
        assert [connection.scalar(text(query)) for query in QUERIES] == [43] * len(QUERIES)
    for refused in (
        *("SELECT client FROM tasks", "SELECT payload FROM task_inputs", "SELECT score FROM report_scores"),
        *("UPDATE tasks SET status = 'REVOKED'", "SELECT id FROM api_keys"),
    ):
        with scaler.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text(refused))
    scaler.dispose()


def test_every_query_names_the_model_of_the_workers_that_it_scales() -> None:
    for scaled, query in zip(SCALED, QUERIES, strict=True):
        (model,) = set(re.findall(r"model = '(\w+)'", query))
        assert model in specs()
        assert scaled["spec"]["scaleTargetRef"]["name"] == f"worker-{model.replace('_', '-')}"


def test_finished_tasks_cost_it_nothing(engine: Engine) -> None:
    """Asked as one condition, status IN (…), it would read every task that the model has ever had."""
    many = """
        INSERT INTO tasks (id, model, status, n_inputs)
        SELECT gen_random_uuid(), 'translator', 'SUCCESS', 1 FROM generate_series(1, 20000)
    """
    with engine.begin() as connection:
        connection.execute(text(many))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE tasks"))
        (query,) = (query for query in QUERIES if "translator" in query)
        plan = "\n".join(connection.scalars(text(f"EXPLAIN {query}")))
    assert "Seq Scan" not in plan
    assert len(re.findall(r"tasks_(?:pending|started)|Index Cond: .*status = ", plan)) == 2, plan
