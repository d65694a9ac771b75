#!/bin/sh
# GET /heartbeat, /health/live, /health/ready: it answers; it lives; submissions are taken in, and who scores them.
# Where: MILLRACE (default http://127.0.0.1:8081); with AUTH=required, put -H "Authorization: Bearer $KEY" on each curl.
set -eu
at=${MILLRACE:-http://127.0.0.1:8081}
curl -sSf "$at/heartbeat"
echo
curl -sSf "$at/health/live"
echo
curl -sSf "$at/health/ready"
echo
