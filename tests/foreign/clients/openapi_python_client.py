"""Uses the client that openapi-python-client writes: `python openapi_python_client.py URL`."""

import json
import sys
from typing import Any

from millrace_client import Client
from millrace_client.api.tasks import (
    predict,
    read_task,
    submit,
    submit_image_classifier,
    submit_text_classifier,
    submit_translator,
)
from millrace_client.models import (
    Accepted,
    Document,
    Image,
    ImageClassifierTask,
    Problem,
    Report,
    ReportAbuseType,
    ReportScorerTask,
    Status,
    SubmitPriority,
    Text,
    TextClassifierTask,
    TranslatorTask,
)

client = Client(base_url=sys.argv[1])


def report(popularity: int) -> Report:
    return Report(ReportAbuseType.MSG, 120, 4.2, popularity, 57, report_id=None)


IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAT0lEQVR42gXBoRGDMAAAwL9kgbAJG8AK3QCJhFFQWDZgBJB1tK6uV1cZJCr8YxiO"
    "0orM9ZTOZ+A1NnkR+G0eGfW3QNS/8/Uh0vyrHdJaOtxFQRYsVPtYLAAAAABJRU5ErkJggg=="
)
submitted = {
    "report_scorer": submit.sync(client=client, body=[report(3)], priority=SubmitPriority.HIGH),
    "text_classifier": submit_text_classifier.sync(client=client, body=[Document(text="The goalie made 40 saves.")]),
    "translator": submit_translator.sync(
        client=client, body=[Text(text="Life is like a box of chocolates.", source="en", target="ja")]
    ),
    "image_classifier": submit_image_classifier.sync(client=client, body=[Image(image=IMAGE, top_n=2)]),
}
said: dict[str, Any] = {}
for model, accepted in submitted.items():
    assert isinstance(accepted, Accepted)
    task = read_task.sync(accepted.task_id, client=client, prefer="wait=50")
    outputs: dict[str, Any]
    if isinstance(task, ReportScorerTask):
        outputs = {"score": task.score}
    elif isinstance(task, TextClassifierTask | ImageClassifierTask):
        outputs = {"label": task.label, "probability": task.probability}
        outputs |= {"labels": task.labels, "probabilities": task.probabilities}
    else:
        assert isinstance(task, TranslatorTask)
        outputs = {"translation": task.translation}
    assert task.status is Status.SUCCESS
    said[model] = {"task_id": str(task.task_id), "model": task.model, "status": task.status.value, **outputs}
scored, refused = predict.sync(client=client, body=report(3)), predict.sync(client=client, body=report(9))
assert isinstance(scored, ReportScorerTask)
assert isinstance(refused, Problem)
said |= {"predict": scored.score, "refused": str(refused.errors)}
json.dump(said, sys.stdout)
