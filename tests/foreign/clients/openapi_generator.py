"""Uses the client that openapi-generator's `python` writes: `python openapi_generator.py URL`."""

import json
import sys
from typing import Any

import millrace_client as m
from millrace_client.models.image_classifier_task import ImageClassifierTask
from millrace_client.models.report_scorer_task import ReportScorerTask
from millrace_client.models.text_classifier_task import TextClassifierTask
from millrace_client.models.translator_task import TranslatorTask

api = m.TasksApi(m.ApiClient(m.Configuration(host=sys.argv[1])))
report = m.Report(
    abuse_type="MSG", report_text_len=120, profile_rating=4.2, popularity=3, lifetime_matches_created=57, report_id=None
)
IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAT0lEQVR42gXBoRGDMAAAwL9kgbAJG8AK3QCJhFFQWDZgBJB1tK6uV1cZJCr8YxiO"
    "0orM9ZTOZ+A1NnkR+G0eGfW3QNS/8/Uh0vyrHdJaOtxFQRYsVPtYLAAAAABJRU5ErkJggg=="
)
submitted = {
    "report_scorer": api.submit([report], priority="high"),
    "text_classifier": api.submit_text_classifier([m.Document(text="The goalie made 40 saves.")]),
    "translator": api.submit_translator([m.Text(text="Life is like a box of chocolates.", source="en", target="ja")]),
    "image_classifier": api.submit_image_classifier([m.Image(image=IMAGE, top_n=2)]),
}
said: dict[str, Any] = {}
for model, accepted in submitted.items():
    task = api.read_task(accepted.task_id, prefer="wait=50").actual_instance
    assert task is not None
    outputs: dict[str, Any]
    if isinstance(task, ReportScorerTask):
        # Once a document has a number that may be null, this generator takes the items of every list for nullable.
        score: list[float | int | None] | None = task.score
        outputs = {"score": score}
    elif isinstance(task, TextClassifierTask | ImageClassifierTask):
        outputs = {"label": task.label, "probability": task.probability}
        outputs |= {"labels": task.labels, "probabilities": task.probabilities}
    else:
        translated: TranslatorTask = task
        outputs = {"translation": translated.translation}
    said[model] = {"task_id": str(task.task_id), "model": task.model, "status": task.status, **outputs}
said["predict"] = api.predict(report).score
try:
    api.predict(report.model_copy(update={"popularity": 9}))
except m.ApiException as refused:
    said["refused"] = str(refused.body)
json.dump(said, sys.stdout)
