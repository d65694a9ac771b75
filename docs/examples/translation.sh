#!/bin/sh
# POST /translation: records from one language into another.
# Where: MILLRACE (default http://127.0.0.1:8081); with AUTH=required, put -H "Authorization: Bearer $KEY" on each curl.
set -eu
at=${MILLRACE:-http://127.0.0.1:8081}
curl -sSf "$at/translation" -H 'Content-Type: application/json' -d '{"payload": {
  "fromLang": "en", "toLang": "ja",
  "records": [{"id": "123", "text": "Life is like a box of chocolates."}, {"id": "124", "text": "Thank you very much."}]
}}'
echo
