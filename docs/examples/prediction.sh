#!/bin/sh
# POST /prediction: the label of a text.
# MILLRACE_URL (default http://127.0.0.1:8081) says where, MILLRACE_KEY is the API key that AUTH=required asks for.
set -eu
at=${MILLRACE_URL:-http://127.0.0.1:8081}
curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }
curl -sSf "$at/prediction" -H 'Content-Type: application/json' -d '{"text": "The goalie made 40 saves and the Penguins won in overtime."}'
echo
