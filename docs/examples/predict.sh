#!/bin/sh
# POST /predict: one report, and its score in the answer.
# Where: MILLRACE (default http://127.0.0.1:8081); with AUTH=required, put -H "Authorization: Bearer $KEY" on each curl.
set -eu
at=${MILLRACE:-http://127.0.0.1:8081}
curl -sSf "$at/predict" -H 'Content-Type: application/json' -d '{"abuse_type": "MSG", "report_text_len": 120, "profile_rating": 4.2, "popularity": 3, "lifetime_matches_created": 57}'
echo
