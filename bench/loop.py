"""`python -m bench.loop URL FILE OUT`: scores a CSV file of reports as one would by hand, 10,000 rows a batch."""

import csv
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx2

from store.states import PENDING, STARTED, SUCCESS

ROWS = 10_000
TYPES = {
    "abuse_type": str,
    "report_text_len": int,
    "profile_rating": float,
    "popularity": int,
    "lifetime_matches_created": int,
}
SECONDS = 60.0


def main(url: str, source: str, out: str) -> None:
    with httpx2.Client(base_url=url, timeout=SECONDS) as client:
        task_ids = [_submit(client, batch) for batch in _batches(source)]
        with Path(out).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*TYPES, "score"])
            for task_id, batch in zip(task_ids, _batches(source), strict=True):
                scores = _scores(client, task_id)
                writer.writerows([*row.values(), score] for row, score in zip(batch, scores, strict=True))


def _batches(source: str) -> Iterator[list[dict[str, str]]]:
    with Path(source).open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        while batch := list(islice(rows, ROWS)):
            yield batch


def _submit(client: httpx2.Client, batch: list[dict[str, str]]) -> str:
    body = [{name: TYPES[name](value) for name, value in row.items()} for row in batch]
    while True:
        answer = client.post("/submit?priority=low", json=body)
        if answer.status_code != httpx2.codes.SERVICE_UNAVAILABLE:
            answer.raise_for_status()
            return str(answer.json()["task_id"])
        time.sleep(float(answer.headers.get("Retry-After", 1)))


def _scores(client: httpx2.Client, task_id: str) -> list[float]:
    while True:
        answer = client.get(f"/task/{task_id}", headers={"Prefer": "wait=10"})
        answer.raise_for_status()
        task = answer.json()
        if task["status"] == SUCCESS:
            return list(task["score"])
        if task["status"] not in (PENDING, STARTED):
            raise SystemExit(f"task {task_id}: {task['status']}: {task['error']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
