"""The plain design's API: `uvicorn bench.plain.app:app`."""

from uuid import UUID, uuid4

from celery.exceptions import TimeoutError as NotYet
from celery.result import AsyncResult
from fastapi import FastAPI, HTTPException

from bench.plain.schemas import PlainAccepted, PlainReport, Result
from bench.plain.worker import app as celery
from bench.plain.worker import score

app = FastAPI()

WAIT = 5


def send(reports: list[PlainReport]) -> AsyncResult:
    task_id = str(uuid4())
    result: AsyncResult = score.apply_async((task_id, [report.model_dump() for report in reports]), task_id=task_id)
    return result


@app.post("/submit", status_code=202)
def submit(reports: list[PlainReport]) -> PlainAccepted:
    return PlainAccepted(task_id=UUID(send(reports).id), status="PENDING")


@app.post("/predict")
def predict(report: PlainReport) -> Result:
    result = send([report])
    try:
        scores = result.get(timeout=WAIT)
    except NotYet:
        scores = None
    return Result(task_id=UUID(result.id), status=result.status, score=scores)


@app.get("/task/{task_id}")
def read_task(task_id: UUID) -> Result:
    result = AsyncResult(str(task_id), app=celery)
    return Result(task_id=task_id, status=result.status, score=result.result if result.successful() else None)


@app.get("/health/ready")
def ready() -> dict[str, bool]:
    if not celery.control.ping(timeout=1):
        raise HTTPException(503, "no worker")
    return {"ready": True}
