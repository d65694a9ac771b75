#!/bin/sh
# POST /prediction: the label of a text.
# Where: MILLRACE (default http://127.0.0.1:8081); with AUTH=required, put -H "Authorization: Bearer $KEY" on each curl.
set -eu
at=${MILLRACE:-http://127.0.0.1:8081}
curl -sSf "$at/prediction" -H 'Content-Type: application/json' -d '{"text": "The goalie made 40 saves and the Penguins won in overtime."}'
echo
