#!/bin/sh
# GET /models and /models/<model>: what is served, with schemas and evaluation; POST /models/<model>/submit for each.
# MILLRACE_URL (default http://127.0.0.1:8081) says where, MILLRACE_KEY is the API key that AUTH=required asks for.
set -eu
at=${MILLRACE_URL:-http://127.0.0.1:8081}
curl() { command curl ${MILLRACE_KEY:+-H "Authorization: Bearer $MILLRACE_KEY"} "$@"; }
curl -sSf "$at/models"
echo
curl -sSf "$at/models/text_classifier"
echo
curl -sSf "$at/models/report_scorer/submit" -H 'Content-Type: application/json' -d '[{"abuse_type": "MSG", "report_text_len": 120, "profile_rating": 4.2, "popularity": 3, "lifetime_matches_created": 57}]'
echo
curl -sSf "$at/models/text_classifier/submit" -H 'Content-Type: application/json' -d '[{"text": "A rocket to the moon.", "document_id": "d-1"}]'
echo
curl -sSf "$at/models/translator/submit" -H 'Content-Type: application/json' -d '[{"text": "Good morning.", "source": "en", "target": "fr"}]'
echo
curl -sSf "$at/models/image_classifier/submit" -H 'Content-Type: application/json' -d '[{"image": "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAT0lEQVR42gXBoRGDMAAAwL9kgbAJG8AK3QCJhFFQWDZgBJB1tK6uV1cZJCr8YxiO0orM9ZTOZ+A1NnkR+G0eGfW3QNS/8/Uh0vyrHdJaOtxFQRYsVPtYLAAAAABJRU5ErkJggg==", "top_n": 3}]'
echo
