#!/usr/bin/env bash
# The client alone, installed by another Python (PYTHON, python by default), scores a file at a platform of this checkout.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
export PORT=${PORT:-8081} MILLRACE_URL=http://127.0.0.1:${PORT:-8081}
.venv/bin/millrace up > "$folder/up.log" 2>&1 &
up=$!
trap 'kill "$up" && wait "$up"; rm -rf "$folder"' EXIT

"${PYTHON:-python}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet './client[files]'
cd "$folder" # nothing of the checkout can be imported
for _ in $(seq 120); do
    "$folder/venv/bin/millrace" models list > /dev/null 2>&1 && break
    kill -0 "$up" || { cat "$folder/up.log" >&2; exit 1; }
    sleep 1
done
"$folder/venv/bin/millrace" submit "$OLDPWD/docs/examples/reports.csv" --wait --out "$folder/scored.parquet"
"$folder/venv/bin/python" -c '
import sys

import pyarrow.parquet

scored = pyarrow.parquet.read_table("scored.parquet").to_pylist()
assert scored and all(0 <= row["score"] <= 1 for row in scored), scored
print(f"{len(scored)} rows scored by the client on Python {sys.version.split()[0]}")
'
