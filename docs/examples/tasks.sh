#!/bin/sh
# GET /tasks: newest first, by state, model and time.
# Where: MILLRACE (default http://127.0.0.1:8081); with AUTH=required, put -H "Authorization: Bearer $KEY" on each curl.
set -eu
at=${MILLRACE:-http://127.0.0.1:8081}
curl -sSf "$at/tasks?status=SUCCESS&model=report_scorer&limit=3"
echo
