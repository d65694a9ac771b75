#!/bin/sh
# GET /heartbeat, /health/live, /health/ready: it answers; it lives; submissions are taken in, and who scores them.
# MILLRACE_URL (default http://127.0.0.1:8081) says where, MILLRACE_KEY is the API key that AUTH=required asks for.
set -eu
at=${MILLRACE_URL:-http://127.0.0.1:8081}
curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }
curl -sSf "$at/heartbeat"
echo
curl -sSf "$at/health/live"
echo
curl -sSf "$at/health/ready"
echo
