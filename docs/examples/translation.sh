#!/bin/sh
# POST /translation: records from one language into another.
# MILLRACE_URL (default http://127.0.0.1:8081) says where, MILLRACE_KEY is the API key that AUTH=required asks for.
set -eu
at=${MILLRACE_URL:-http://127.0.0.1:8081}
curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }
curl -sSf "$at/translation" -H 'Content-Type: application/json' -d '{"payload": {
  "fromLang": "en", "toLang": "ja",
  "records": [{"id": "123", "text": "Life is like a box of chocolates."}, {"id": "124", "text": "Thank you very much."}]
}}'
echo
