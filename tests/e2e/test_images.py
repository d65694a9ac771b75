"""The images: what is in them and what is not, what they may do, and that each runtime's scores what it can.

Needs a Docker engine: `make test-compose`.
"""

import json
from itertools import chain
from typing import Any

import pytest

from models.image_classifier.examples import EIGHT
from tests.running import REPORT, eventually
from tests.stack import LASTING, OURS, PROJECT, Stack, run

pytestmark = pytest.mark.compose

RUNTIMES = {
    "worker-xgboost": {"report_scorer"},
    "worker-onnx": {"image_classifier", "text_classifier"},
    "worker-ctranslate2": {"translator"},
}
SENTENCE = {"fromLang": "en", "toLang": "ja", "records": [{"id": "1", "text": "Life is like a box of chocolates."}]}
QUESTIONS: dict[str, Any] = {
    "/predict": REPORT,
    "/prediction": {"text": "The goalie made 40 saves."},
    "/translation": {"payload": SENTENCE},
}
COMPILERS = (
    r"find / -xdev -type f,l \( -name 'gcc*' -o -name 'g++*' -o -name cc -o -name cc1 -o -name clang -o -name ld \)"
)


def test_nothing_can_write_outside_tmp_or_gain_a_right(stack: Stack) -> None:
    for container in stack.containers(*LASTING):
        host = container["HostConfig"]
        assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
    for service in OURS:
        status = stack.compose("exec", "-T", service, "cat", "/proc/self/status")
        assert {"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"} <= set(status.splitlines())
        write = "for at in / /app /opt/venv /var/tmp; do touch $at/new 2>/dev/null && echo $at; done; touch /tmp/new"
        assert stack.compose("exec", "-T", service, "sh", "-c", write) == ""


def test_images_hold_no_compiler_and_only_who_loads_or_adds_models_an_ml_library(stack: Stack) -> None:
    in_base = set(_in_image("python:3.11-slim", COMPILERS).splitlines())  # none; a stand-in may have some
    for image in {container["Config"]["Image"] for container in stack.containers(*OURS, "migrate")}:
        assert set(_in_image(image, COMPILERS).splitlines()) <= in_base
    look = "import importlib.util as u; print([m for m in ('numpy', 'scipy', 'PIL', 'xgboost') if u.find_spec(m)])"
    for program in ("handler", "rescue"):
        assert _in_image(f"{PROJECT}-{program}", f'python -c "{look}"').strip() == "[]"
        assert _in_image(f"{PROJECT}-{program}", "find /app/models -name model.py -o -name 'model.*'") == ""


def test_each_image_says_what_it_is_and_whether_it_is_well(stack: Stack) -> None:
    for container in stack.containers(*OURS, "migrate"):
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        (image,) = json.loads(run(["docker", "inspect", container["Image"]]))
        described = "rescue" if service == "webhooks" else service
        assert image["Config"]["Labels"]["org.opencontainers.image.title"] == f"millrace-{described}"
        assert image["Config"]["Labels"]["org.opencontainers.image.description"]
        assert image["Config"]["User"] == "10001:10001"
        assert image["Config"]["Healthcheck"]["Test"]


def test_keys_are_made_where_the_schema_is(stack: Stack) -> None:
    made = stack.compose("run", "--rm", "migrate", "python", "-m", "cli.keys", "create", "somebody")
    assert made.startswith("mr_")
    assert "somebody" in stack.compose("run", "--rm", "migrate", "python", "-m", "cli.keys", "list")


def test_what_failed_is_replayed_and_redacted_there_too(stack: Stack) -> None:
    stack.compose("stop", "worker")
    task_id = stack.submit([REPORT])
    stack.psql(f"UPDATE tasks SET status = 'FAILURE', error = 'lost', finished_at = now() WHERE id = '{task_id}'")
    command = ("run", "--rm", "migrate", "python", "-m")
    said = stack.compose(*command, "cli.replay", "--failed", "--since", "1h", "--model", "report_scorer")
    assert said == "1 task will be scored again within seconds\n"
    stack.compose("start", "worker")
    assert stack.finished(task_id)["status"] == "SUCCESS"
    assert "0 rows of" in stack.compose(*command, "cli.redact", "--older-than", "30d")


def test_a_worker_image_of_each_runtime_scores_what_it_can(stack: Stack) -> None:
    worker, *_ = stack.containers("worker")
    (network,) = worker["NetworkSettings"]["Networks"]
    (base,) = json.loads(run(["docker", "inspect", "python:3.11-slim"]))
    confined = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges:true", "--init"]
    stack.compose("stop", "worker")
    started = []
    try:
        for target, models in RUNTIMES.items():
            image = f"{PROJECT}-{target}"
            run(["docker", "build", "--quiet", f"--target={target}", f"--tag={image}", "."])
            assert set(_in_image(image, "cd /app/models && ls -d */ | grep -v __").replace("/", "").split()) == models
            (built,) = json.loads(run(["docker", "inspect", image]))
            assert built["Size"] - base["Size"] < 450e6, target  # python:3.11-slim itself has some 130 MB
            options = [
                f"--volumes-from={worker['Id']}",
                *confined,
                f"--network={network}",
                "--env=WORKER_CONCURRENCY=1",
            ]
            started.append(run(["docker", "run", "--detach", *options, image]).strip())
        served = dict.fromkeys(chain(*RUNTIMES.values()), 1)
        eventually(lambda: stack.ready().items() >= served.items(), every=0.5)  # others may be of other tests
        for path, question in QUESTIONS.items():
            answer = stack.client.post(path, json=question)
            assert answer.status_code == 200, answer.text
        answer = stack.client.post("/models/image_classifier/submit", json=[{"image": EIGHT}])
        assert stack.finished(answer.json()["task_id"])["label"] == ["8"]
    finally:
        for container in started:
            run(["docker", "rm", "--force", container])
        stack.compose("start", "worker")
    eventually(stack.ready_processes, every=0.5)


def _in_image(image: str, shell: str) -> str:
    return run(["docker", "run", "--rm", "--network=none", "--user=root", "--entrypoint=sh", image, "-c", shell])
