"""Images among the inputs are shown on a task's page and at the desk, to those who may see them, and run nothing."""

from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from models.image_classifier.examples import EIGHT
from registry import administration, prediction_tables
from registry.administration import NewVersion
from serving.outcomes import OutcomeRules
from serving.schema import ModelSchema, SchemaField, spec_of
from store import keys
from store.keys import Role
from tests.browsing import Browser, Page
from tests.running import Platform, handler

PNG = b64decode(EIGHT)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
SIGHTINGS = ModelSchema(
    "Says what was seen",
    (SchemaField("photo", "photo", "bytes"), SchemaField("place", "place", "text")),
    (SchemaField("score", "score", "double", ge=0, le=1),),
    outcomes=OutcomeRules(kinds=("seen", "unseen"), target="seen"),
)
SCORED = text("""
WITH task AS (INSERT INTO tasks (id, model, status, n_inputs) VALUES (gen_random_uuid(), 'sightings', 'SUCCESS', 1)
    RETURNING id)
INSERT INTO sightings_seen (task_id, position, photo, place, score, model_version, scored_at)
SELECT id, 0, :photo, :place, :score, '1', now() FROM task RETURNING CAST(task_id AS text)
""")


def images(page: Page) -> list[str]:
    return [source for source in page.of("img", "src") if "/image/" in source]


@pytest.mark.parametrize("count", [1, 12])
def test_a_scored_tasks_first_images_are_shown(platform: Platform, count: int) -> None:
    answer = platform.client.post("/models/image_classifier/submit", json=[{"image": EIGHT}] * count)
    task_id = answer.json()["task_id"]
    platform.finished(task_id)
    with Browser(platform.url) as browser:
        found = images(browser.page(f"/console/task/{task_id}"))
        assert found == [f"/console/task/{task_id}/image/{row}/0" for row in range(min(count, 10))]
        image = browser.get(found[-1])
        assert (image.status_code, image.content, image.headers["content-type"]) == (200, PNG, "image/png")
        assert image.headers["x-content-type-options"] == "nosniff"
        assert image.headers["content-security-policy"].startswith("sandbox;")
        assert image.headers["cache-control"] == "no-store"
        for nowhere in ("99/0", "0/1", "0/9", "-1/0", "x/0", "0/0.5", "9999999999/0"):
            assert browser.get(f"/console/task/{task_id}/image/{nowhere}").status_code == 404, nowhere


def test_an_image_that_waits_is_shown_to_its_owner_and_hidden_from_others(
    closed: Platform, closed_engine: Engine
) -> None:
    def signed_in(role: Role, client: str) -> Browser:
        with closed_engine.begin() as connection:
            own = keys.create(connection, client, role)
        return Browser(closed.url).sign_in(own)

    with closed_engine.begin() as connection:
        key = keys.create(connection, "image-owner", Role.SUBMIT)
    headers = {"Authorization": f"Bearer {key}"}
    body = [{"image": EIGHT, "image_id": "waits"}] * 3
    task_id = closed.client.post("/models/image_classifier/submit", json=body, headers=headers).json()["task_id"]
    path = f"/console/task/{task_id}/image/2/0"
    expected = {
        ("image-owner", Role.SUBMIT): 200,
        ("image-other", Role.SUBMIT): 404,
        ("image-reader", Role.READ): 403,
        ("image-operator", Role.OPERATE): 403,
        ("image-reviewer", Role.TRIAGE): 200,
    }
    for (client, role), status in expected.items():
        with signed_in(role, client) as browser:
            assert browser.get(path).status_code == status, client
            if status != 404:
                assert (path in images(browser.page(f"/console/task/{task_id}"))) == (status == 200), client
    with Browser(closed.url) as nobody:
        assert nobody.get(path).headers["location"].startswith("/console/login")
    closed.client.delete(f"/task/{task_id}", headers=headers)


@pytest.fixture
def sightings(database_url: str, redis_url: str, engine: Engine, tmp_path: Path) -> Iterator[Platform]:
    """A handler with a model whose inputs have images, and whose predictions can be reviewed."""
    (tmp_path / "model.ubj").write_bytes(b"never loaded")
    files = {"model.ubj": tmp_path / "model.ubj"}
    new = NewVersion("sightings", "sightings_seen", runtime="xgboost", schema=SIGHTINGS, files=files)
    with engine.begin() as connection:
        administration.add(connection, new, "test")
        prediction_tables.make(connection, spec_of("sightings", "sightings_seen", SIGHTINGS))
        administration.promote(connection, "sightings", None, "test")
    with handler(database_url, redis_url, tmp_path, TRIAGE_RANDOM_SHARE="0") as platform:
        yield platform


def test_the_desk_shows_an_image_and_nothing_that_only_calls_itself_one(sightings: Platform, engine: Engine) -> None:
    with engine.begin() as connection:
        task_id, hostile = (
            connection.scalar(SCORED, {"photo": photo, "place": place, "score": score})
            for photo, place, score in ((PNG, "harbour", 0.9), (SVG, "hostile", 0.1))
        )
    with Browser(sightings.url) as browser:
        desk = "/console/triage/sightings"
        browser.post(f"{desk}/reviewer", {"reviewer": "ada"})
        browser.post(f"{desk}/next")
        page = browser.page(desk)
        assert "harbour" in page.text
        assert images(page) == [f"/console/task/{task_id}/image/0/0"]
        assert browser.get(images(page)[0]).content == PNG
        assert images(browser.page(f"/console/task/{hostile}")) == []
        answer = browser.get(f"/console/task/{hostile}/image/0/0")
        assert answer.status_code == 404
        assert SVG not in answer.content
