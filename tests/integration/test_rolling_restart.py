"""Handlers and workers are replaced one after another under load, and no client notices."""

import itertools
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from sqlalchemy import Engine, text

from tests.running import REPORT, Platform, eventually


@contextmanager
def proxy(*backends: str) -> Iterator[str]:
    """A balancer as in front of any service: round robin, and the next backend when one does not answer.

    Trying again is safe: every request carries an idempotency key.
    """
    turns = itertools.cycle(range(len(backends)))
    forward = httpx.Client(timeout=30, limits=httpx.Limits(max_keepalive_connections=0))

    class Balancer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name: self.headers[name] for name in ("Content-Type", "Idempotency-Key")}
            first = next(turns)
            for offset in range(len(backends) * 3):
                backend = backends[(first + offset) % len(backends)]
                try:
                    answer = forward.post(backend + self.path, content=body, headers=headers)
                except httpx.TransportError:
                    continue
                self.send_response(answer.status_code)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)
                return
            self.send_error(502)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Balancer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
    forward.close()


def test_a_rolling_restart_under_load_fails_no_request_and_loses_no_task(
    database_url: str, redis_url: str, tmp_path: Path, engine: Engine
) -> None:
    quick = {"RESCUE_INTERVAL_SECONDS": "0.5", "REPUBLISH_AFTER_SECONDS": "2", "WORKER_GRACE_SECONDS": "5"}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        Platform(database_url, redis_url, tmp_path / "a", **quick) as first,
        Platform(database_url, redis_url, tmp_path / "b", **quick) as second,
        proxy(first.url, second.url) as balanced,
    ):
        statuses: list[int] = []
        going_on = threading.Event()
        going_on.set()

        def load(client: int) -> None:
            with httpx.Client(timeout=60) as http:
                for number in itertools.count():
                    if not going_on.is_set():
                        return
                    headers = {"Idempotency-Key": f"{client}-{number}", "Content-Type": "application/json"}
                    answer = http.post(f"{balanced}/submit", content=json.dumps([REPORT] * 20), headers=headers)
                    statuses.append(answer.status_code)

        clients = [threading.Thread(target=load, args=[client]) for client in range(4)]
        for client in clients:
            client.start()
        for platform in (first, second):
            served = len(statuses)
            platform.handler.stop(signal.SIGTERM)
            platform.handler = platform.start_handler()
            platform.worker.stop(signal.SIGTERM)
            platform.worker = platform.start_worker()
            platform.wait_until_ready()
            eventually(lambda served=served: len(statuses) > served + 20)
        going_on.clear()
        for client in clients:
            client.join()

        assert set(statuses) == {202}
        with engine.connect() as connection:
            unfinished = text("SELECT count(*) FROM tasks WHERE status <> 'SUCCESS'")
            eventually(lambda: connection.execute(unfinished).scalar_one() == 0, every=0.5)
            assert connection.execute(text("SELECT count(*) FROM tasks")).scalar_one() == len(statuses)
            assert connection.execute(text("SELECT count(*) FROM report_scores")).scalar_one() == 20 * len(statuses)
