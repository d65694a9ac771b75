#!/bin/sh
# GET /workers, /workers/status: every worker process, what it has loaded, and whether it works.
# MILLRACE_URL (default http://127.0.0.1:8081) says where, MILLRACE_KEY is the API key that AUTH=required asks for.
set -eu
at=${MILLRACE_URL:-http://127.0.0.1:8081}
curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }
curl -sSf "$at/workers"
echo
curl -sSf "$at/workers/status"
echo
