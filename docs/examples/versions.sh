#!/bin/sh
# GET /models/<model>/versions and /events; POST to /promote, /rollback and /retire changes what is live. The changes here are refused with 409.
# MILLRACE_URL (default http://127.0.0.1:8081) says where, MILLRACE_KEY is the API key that AUTH=required asks for.
set -eu
at=${MILLRACE_URL:-http://127.0.0.1:8081}
curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }
curl -sSf "$at/models/report_scorer/versions"
echo
curl -sSf "$at/models/report_scorer/events"
echo
curl -sS "$at/models/report_scorer/promote" -H 'Content-Type: application/json' -d '{"version": "1.0.0", "reason": "it is live already"}'
echo
curl -sS -X POST "$at/models/report_scorer/rollback"
echo
curl -sS "$at/models/report_scorer/retire" -H 'Content-Type: application/json' -d '{"version": "1.0.0", "reason": "a live version cannot be retired alone"}'
echo
