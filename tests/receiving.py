"""A receiver of webhooks: a real HTTP server on loopback that keeps what it was sent."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str = SECRET) -> Any:
        """Return the event as the specification's own library verifies it."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """Answers each request with the next of `answers`, the last of them again and again."""

    url: str = ""
    answers: list[tuple[int, Mapping[str, str]]] = field(default_factory=lambda: [(204, {})])
    received: list[Received] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    body: bytes = b""

    def __post_init__(self) -> None:
        self.hold.set()

    def answer(self) -> tuple[int, Mapping[str, str]]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@contextmanager
def receiving(*answers: int | tuple[int, Mapping[str, str]], tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver()
    if answers:
        receiver.answers = [(answer, {}) if isinstance(answer, int) else answer for answer in answers]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.received.append(Received(self.path, dict(self.headers), body))
            receiver.hold.wait(30)
            status, headers = receiver.answer()
            try:
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(receiver.body))} | dict(headers)).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(receiver.body)
            except OSError:
                self.close_connection = True  # the sender has hung up

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
