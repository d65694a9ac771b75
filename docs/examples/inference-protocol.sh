#!/bin/sh
# The Open Inference Protocol, /v2: health, metadata, the index, and tensors in and out.
# MILLRACE_URL (default http://127.0.0.1:8081) says where, MILLRACE_KEY is the API key that AUTH=required asks for.
set -eu
at=${MILLRACE_URL:-http://127.0.0.1:8081}
curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }
curl -sSf "$at/v2"
echo
curl -sSf "$at/v2/health/live"
curl -sSf "$at/v2/health/ready"
curl -sSf -X POST "$at/v2/repository/index"
echo
curl -sSf "$at/v2/models/text_classifier"
echo
curl -sSf "$at/v2/models/text_classifier/versions/1.0.0"
curl -sSf "$at/v2/models/text_classifier/ready"
curl -sSf "$at/v2/models/text_classifier/versions/1.0.0/ready"
echo
curl -sSf "$at/v2/models/text_classifier/infer" -H 'Content-Type: application/json' -d '{
  "id": "42",
  "inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["The goalie made 40 saves and the Penguins won in overtime.", "The shuttle is in orbit."]}],
  "outputs": [{"name": "label"}, {"name": "probability"}]
}'
echo
curl -sSf "$at/v2/models/text_classifier/versions/1.0.0/infer" -H 'Content-Type: application/json' -d '{
  "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["Encrypt it with a longer key."]}]
}'
echo
