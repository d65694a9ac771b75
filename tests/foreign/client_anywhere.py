"""What the client does without a server and without its extra [files], printed as JSON: alike on each Python."""

import base64
import hashlib
import hmac
import importlib
import io
import json
import pkgutil
import sys
import time
from contextlib import redirect_stdout

import millrace_client
from millrace_client import formats, reading, verify_webhook
from millrace_client.cli.main import main
from millrace_client.parts import Columns

CSV = '\ufeffreport_id;note\r\n00001;"a; b\nc"\r\n00002;é\r\n'.encode()


def shown(*arguments: str) -> str:
    with redirect_stdout(io.StringIO()) as out:
        main(list(arguments), prog_name="millrace", standalone_mode=False)
    return out.getvalue()


def verified() -> object:
    key, stamp, body = b"a key of sixteen", str(int(time.time())), b'{"status": "SUCCESS"}'
    signature = base64.b64encode(hmac.digest(key, b"1." + stamp.encode() + b"." + body, hashlib.sha256)).decode()
    headers = {"webhook-id": "1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}
    return verify_webhook(body, headers, "whsec_" + base64.b64encode(key).decode())


def modules() -> list[str]:
    names = [one.name for one in pkgutil.walk_packages(millrace_client.__path__, "millrace_client.")]
    for name in names:
        importlib.import_module(name)
    return names


def parts() -> list[str]:
    form = formats.format_of("rows.csv")
    return [part.body.decode() for part in reading.parts(io.BytesIO(CSV), form, Columns(), max_rows=1)]


print(
    json.dumps(
        {
            "python": list(sys.version_info[:2]),
            "modules": modules(),
            "help": [
                shown("--help"),
                *(shown(one, "--help") for one in ("submit", "task", "tasks", "jobs", "outcomes")),
            ],
            "parts": parts(),
            "webhook": verified(),
        }
    )
)
