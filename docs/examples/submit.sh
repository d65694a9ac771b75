#!/bin/sh
# POST /submit: a batch of abuse reports, stored and answered at once with a task id.
# MILLRACE_URL (default http://127.0.0.1:8081) says where, MILLRACE_KEY is the API key that AUTH=required asks for.
set -eu
at=${MILLRACE_URL:-http://127.0.0.1:8081}
curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }
curl -sSf "$at/submit?priority=high&deadline=3600" -H 'Content-Type: application/json' -H 'Idempotency-Key: "'"$(date +%s)"'"' -d '[
  {"abuse_type": "MSG", "report_text_len": 120, "profile_rating": 4.2, "popularity": 3, "lifetime_matches_created": 57},
  {"abuse_type": "PRF", "report_text_len": 160, "profile_rating": 1.4, "popularity": 4, "lifetime_matches_created": 12, "report_id": "r-2"}
]'
echo
