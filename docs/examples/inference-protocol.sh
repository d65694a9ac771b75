#!/bin/sh
# The Open Inference Protocol, /v2: health, metadata, the index, and tensors in and out.
# Where: MILLRACE (default http://127.0.0.1:8081); with AUTH=required, put -H "Authorization: Bearer $KEY" on each curl.
set -eu
at=${MILLRACE:-http://127.0.0.1:8081}
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
