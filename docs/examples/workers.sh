#!/bin/sh
# GET /workers, /workers/status: every worker process, what it has loaded, and whether it works.
# Where: MILLRACE (default http://127.0.0.1:8081); with AUTH=required, put -H "Authorization: Bearer $KEY" on each curl.
set -eu
at=${MILLRACE:-http://127.0.0.1:8081}
curl -sSf "$at/workers"
echo
curl -sSf "$at/workers/status"
echo
