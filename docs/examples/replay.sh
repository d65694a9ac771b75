#!/bin/sh
# POST /task/<id>/replay: a task that failed is scored once more; 409 for one that did not fail, as here.
# MILLRACE_URL (default http://127.0.0.1:8081) says where, MILLRACE_KEY is the API key that AUTH=required asks for.
set -eu
at=${MILLRACE_URL:-http://127.0.0.1:8081}
curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }
task=$(curl -sSf "$at/submit" -H 'Content-Type: application/json' -d '[{"abuse_type": "MSG", "report_text_len": 120, "profile_rating": 4.2, "popularity": 3, "lifetime_matches_created": 57}]' | sed 's/.*"task_id":"\([^"]*\)".*/\1/')
curl -sS -X POST "$at/task/$task/replay"
echo
