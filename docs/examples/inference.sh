#!/bin/sh
# POST /inference: what is in an image, in JSON or as a file in a form. (The image: a handwritten 8.)
# MILLRACE_URL (default http://127.0.0.1:8081) says where, MILLRACE_KEY is the API key that AUTH=required asks for.
set -eu
at=${MILLRACE_URL:-http://127.0.0.1:8081}
curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }
image=iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAT0lEQVR42gXBoRGDMAAAwL9kgbAJG8AK3QCJhFFQWDZgBJB1tK6uV1cZJCr8YxiO0orM9ZTOZ+A1NnkR+G0eGfW3QNS/8/Uh0vyrHdJaOtxFQRYsVPtYLAAAAABJRU5ErkJggg==
curl -sSf "$at/inference" -H 'Content-Type: application/json' -d '{
  "data": {"B64Image": {"image": "'"$image"'"}},
  "inference_type": {"ImageClassification": {"top_n": 5}}
}'
echo
file=$(mktemp)
trap 'rm -f "$file"' EXIT
echo "$image" | base64 -d > "$file"
curl -sSf "$at/inference" -F "file=@$file" -F top_n=2
echo
