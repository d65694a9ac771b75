#!/bin/sh
# POST /outcomes: what became known about predictions. /triage: who reviews which prediction, how far they agree; how good the model was.
# MILLRACE_URL (default http://127.0.0.1:8081) says where, MILLRACE_KEY is the API key that AUTH=required asks for.
set -eu
at=${MILLRACE_URL:-http://127.0.0.1:8081}
curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)

curl -sSf "$at/predict" -H 'Content-Type: application/json' -d '{"abuse_type": "MSG", "report_text_len": 120,
  "profile_rating": 4.2, "popularity": 3, "lifetime_matches_created": 57, "report_id": "example-1"}'
echo
lease=$(curl -sSf "$at/triage/leases" -H 'Content-Type: application/json' \
    -d '{"model": "report_scorer", "n": 1, "reviewer": "example", "filter": {"abuse_type": "MSG"}}' |
    sed -E 's/.*"lease_id":([0-9]*).*/\1/')
curl -sSf "$at/triage/shown" -H 'Content-Type: application/json' -d "{\"leases\": [$lease]}"
echo
curl -sSf "$at/triage/release" -H 'Content-Type: application/json' -d "{\"leases\": [$lease]}"
echo
curl -sSf "$at/outcomes" -H 'Content-Type: application/json' -d "[
  {\"model\": \"report_scorer\", \"key\": \"example-1\", \"outcome\": \"abuse\", \"decided_at\": \"$now\", \"reviewer\": \"example\"}]"
echo
curl -sSf "$at/outcomes?model=report_scorer&key=example-1"
echo
curl -sSf "$at/triage/draws?model=report_scorer"
echo
curl -sSf "$at/triage/agreement?model=report_scorer"
echo
curl -sS "$at/models/report_scorer/evaluation" # 404 until `millrace evaluate --live report_scorer` has stored figures
echo
