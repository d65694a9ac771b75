#!/bin/sh
# POST /jobs: many tasks under one id. A whole file at once, or part by part; then its rows in order, and its rejects.
# MILLRACE_URL (default http://127.0.0.1:8081) says where, MILLRACE_KEY is the API key that AUTH=required asks for.
set -eu
at=${MILLRACE_URL:-http://127.0.0.1:8081}
curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }
file=$(dirname "$0")/reports.csv

curl -sSf "$at/models/report_scorer/validate" -H 'Content-Type: text/csv' --data-binary "@$file"
echo
curl -sSf "$at/jobs?model=report_scorer&on_invalid=collect" -H 'Content-Type: text/csv' --data-binary "@$file"
echo

job=$(curl -sSf "$at/jobs" -H 'Content-Type: application/json' -d '{"model": "report_scorer"}' |
    sed -E 's/.*"job_id":"([^"]*)".*/\1/')
curl -sSf "$at/jobs/$job/parts/0" -H 'Content-Type: text/csv' --data-binary "@$file"
echo
curl -sSf "$at/jobs/$job/close" -H 'Content-Type: application/json' -d '{"parts": 1}'
echo
until curl -sSf "$at/jobs/$job" | grep -q '"DONE"'; do sleep 0.2; done
curl -sSf -H 'Accept: text/csv' "$at/jobs/$job/results" | head -n 3
curl -sSf "$at/jobs/$job/rejects"
curl -sSf -H 'Accept: application/x-ndjson' "$at/models/report_scorer/predictions?submitted_after=2026-01-01T00:00:00Z" |
    head -n 1
curl -sSf "$at/jobs?limit=1"
echo

job=$(curl -sSf "$at/jobs" -H 'Content-Type: application/json' -d '{"model": "report_scorer"}' |
    sed -E 's/.*"job_id":"([^"]*)".*/\1/')
curl -sSf -X POST "$at/jobs/$job/cancel" -H 'Content-Type: application/json'
echo
