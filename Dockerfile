# One target a program with packages of its own: handler, migrate, rescue (webhooks runs from it too), export, flower; and for the
# worker one a runtime, worker-xgboost, worker-onnx, worker-ctranslate2 (-gpu), or all that the repository's own models need
# in one, worker; worker-lightgbm and worker-catboost are for models that operators add. `make images` builds them. Plain instructions only, so that the classic builder and BuildKit both build it.

# To pin it: --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:…
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE} AS base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin millrace
COPY deploy/docker/with-secrets /usr/local/bin/
# Sockets of models that are code lie in /run/models, for containers of another user than the platform's.
# Large files of models lie in /artifacts, if a volume is mounted there and ARTIFACTS_URL=file:///artifacts.
RUN chmod 755 /usr/local/bin/with-secrets && install -d -m 1777 /run/models && install -d -o millrace -g millrace /artifacts
WORKDIR /app
ENTRYPOINT ["with-secrets"]


# The packages: by hash, and wheels only, so that no stage needs a compiler. pip stays outside the virtual environment.
# Nothing can be written at run time, so the bytecode is made here; it names its source by hash, so that the same
# packages give the same bytes, and without the packages' own tests, which are a tenth of them.
FROM base AS packages
ENV PIP_PYTHON=/opt/venv/bin/python \
    PIP_NO_CACHE_DIR=1 \
    PIP_REQUIRE_HASHES=1 \
    PIP_ONLY_BINARY=:all:
RUN python -m venv --without-pip /opt/venv
COPY deploy/docker/install /usr/local/bin/
# --build-arg BUCKETS=on: what scores can read files of models from s3:// and gs://, too (docs/how-to/models.md).
ARG BUCKETS=
ENV BUCKETS=$BUCKETS

FROM packages AS handler-packages
COPY requirements/handler.txt /tmp/
RUN install /tmp/handler.txt

FROM packages AS migrate-packages
COPY requirements/migrate.txt /tmp/
RUN install /tmp/migrate.txt

FROM packages AS rescue-packages
COPY requirements/rescue.txt /tmp/
RUN install /tmp/rescue.txt

FROM packages AS export-packages
COPY requirements/export.txt /tmp/
RUN install /tmp/export.txt

FROM packages AS flower-packages
COPY requirements/flower.txt /tmp/
RUN install /tmp/flower.txt

FROM packages AS pool-packages
COPY requirements/pool.txt requirements/buckets.txt /tmp/
RUN install /tmp/pool.txt ${BUCKETS:+/tmp/buckets.txt}

FROM packages AS worker-packages
COPY requirements/worker.txt requirements/buckets.txt /tmp/
RUN install /tmp/worker.txt ${BUCKETS:+/tmp/buckets.txt}

FROM packages AS worker-xgboost-packages
COPY requirements/worker-xgboost.txt requirements/buckets.txt /tmp/
RUN install /tmp/worker-xgboost.txt ${BUCKETS:+/tmp/buckets.txt}

FROM packages AS worker-onnx-packages
COPY requirements/worker-onnx.txt requirements/buckets.txt /tmp/
RUN install /tmp/worker-onnx.txt ${BUCKETS:+/tmp/buckets.txt}

FROM packages AS worker-ctranslate2-packages
COPY requirements/worker-ctranslate2.txt requirements/buckets.txt /tmp/
RUN install /tmp/worker-ctranslate2.txt ${BUCKETS:+/tmp/buckets.txt}

FROM packages AS worker-lightgbm-packages
COPY requirements/worker-lightgbm.txt requirements/buckets.txt /tmp/
RUN install /tmp/worker-lightgbm.txt ${BUCKETS:+/tmp/buckets.txt}

FROM packages AS worker-catboost-packages
COPY requirements/worker-catboost.txt requirements/buckets.txt /tmp/
RUN install /tmp/worker-catboost.txt ${BUCKETS:+/tmp/buckets.txt}

FROM worker-ctranslate2-packages AS worker-ctranslate2-gpu-packages
COPY requirements/worker-ctranslate2-gpu.txt /tmp/
RUN install /tmp/worker-ctranslate2-gpu.txt


# Our code, readable for everyone whatever the checkout's umask was.
FROM base AS code
COPY blobs blobs
COPY evaluation evaluation
COPY models models
COPY registry registry
COPY runtimes runtimes
COPY serving serving
COPY store store
COPY telemetry telemetry

# Whoever loads no model needs its spec only: the registry has the files.
FROM code AS light-code
RUN find models -name model.py -delete && rm -r models/*/artifact

FROM light-code AS handler-code
COPY broker broker
COPY cli/__init__.py cli/database.py cli/keys.py cli/webhook_secret.py cli/redact.py cli/
COPY client/millrace_client millrace_client
COPY console console
COPY devstack/__init__.py devstack/local.py devstack/
COPY handler handler
COPY migrations migrations
COPY webhooks webhooks
RUN python -m compileall -q --invalidation-mode unchecked-hash . && chmod -R a+rX .

# It registers the artifacts of the repository.
FROM code AS migrate-code
COPY alembic.ini ./
COPY broker broker
COPY cli/__init__.py cli/database.py cli/keys.py cli/passwords.py cli/redact.py cli/replay.py cli/sql.py cli/
COPY cli/retain.py cli/retention_settings.py cli/exported_days.py cli/forget.py cli/erasing.py cli/held_inputs.py cli/cached_outputs.py cli/
COPY cli/drift.py cli/compared_columns.py cli/dataset.py cli/explain.py cli/shadow.py cli/
COPY cli/evaluate cli/evaluate
COPY cli/models cli/models
COPY cli/rescoring cli/rescoring
COPY client/millrace_client millrace_client
COPY devstack/__init__.py devstack/local.py devstack/
COPY export export
COPY migrations migrations
COPY webhooks webhooks
COPY worker worker
RUN python -m compileall -q --invalidation-mode unchecked-hash . && chmod -R a+rX .

FROM light-code AS rescue-code
COPY broker broker
COPY rescue rescue
COPY webhooks webhooks
RUN python -m compileall -q --invalidation-mode unchecked-hash . && chmod -R a+rX .

# It reads what the database says of its tables, and no spec.
FROM base AS export-code
COPY blobs blobs
COPY export export
COPY store store
COPY telemetry telemetry
RUN python -m compileall -q --invalidation-mode unchecked-hash . && chmod -R a+rX .

FROM code AS worker-code
RUN rm -r models/*/artifact
COPY broker broker
COPY worker worker
RUN python -m compileall -q --invalidation-mode unchecked-hash . && chmod -R a+rX .

# One container that does everything (ENGINE=pool).
FROM code AS pool-code
COPY broker broker
COPY client/millrace_client millrace_client
COPY console console
COPY handler handler
COPY migrations migrations
COPY pool pool
COPY rescue rescue
COPY webhooks webhooks
COPY worker worker
RUN python -m compileall -q --invalidation-mode unchecked-hash . && chmod -R a+rX .

FROM worker-code AS added-models-code
RUN rm -r models/*/

# The models that an image's runtime can run; `serving.unservable` names the others.
FROM worker-xgboost-packages AS worker-xgboost-code
COPY --from=worker-code /app ./
RUN python -m serving.unservable > /tmp/unservable && xargs rm -r < /tmp/unservable

FROM worker-onnx-packages AS worker-onnx-code
COPY --from=worker-code /app ./
RUN python -m serving.unservable > /tmp/unservable && xargs rm -r < /tmp/unservable

FROM worker-ctranslate2-packages AS worker-ctranslate2-code
COPY --from=worker-code /app ./
RUN python -m serving.unservable > /tmp/unservable && xargs rm -r < /tmp/unservable


# For a model that is code: its folder has a Dockerfile of one line, FROM millrace-code-model (docs/how-to/models.md).
FROM packages AS code-model
LABEL org.opencontainers.image.title="millrace-code-model" \
      org.opencontainers.image.description="Millrace: runs a model that is code, apart from the platform"
COPY runtimes/code_host.py /app/
ONBUILD USER 0:0
ONBUILD COPY . /model
ONBUILD RUN if [ -e /model/requirements.txt ]; then install /model/requirements.txt; fi
ONBUILD USER 10002:10002
USER 10002:10002
HEALTHCHECK NONE
CMD ["sh", "-c", "exec python /app/code_host.py /model /run/models/$MODEL.sock"]

FROM base AS flower
LABEL org.opencontainers.image.title="millrace-flower" \
      org.opencontainers.image.description="Millrace: the dashboard of its Celery workers"
COPY --from=flower-packages /opt/venv /opt/venv
# What bounds its memory: the deliveries that it remembers, and the seconds for which it remembers a worker that is gone.
ENV FLOWER_MAX_TASKS=2000 FLOWER_PURGE_OFFLINE_WORKERS=300
USER 10001:10001
EXPOSE 5566
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "import http.client as h; \
c = h.HTTPConnection('127.0.0.1', 5566, timeout=3); c.request('GET', '/healthcheck'); exit(c.getresponse().status != 200)"]
CMD ["celery", "flower", "--address=0.0.0.0", "--port=5566"]

FROM base AS migrate
LABEL org.opencontainers.image.title="millrace-migrate" \
      org.opencontainers.image.description="Millrace: brings the schema of its database up to date; keys, replays, redaction, retention"
COPY deploy/docker/millrace /usr/local/bin/
COPY --from=migrate-packages /opt/venv /opt/venv
COPY --from=migrate-code /app /app
USER 10001:10001
HEALTHCHECK NONE
CMD ["alembic", "upgrade", "head"]

FROM base AS rescue
LABEL org.opencontainers.image.title="millrace-rescue" \
      org.opencontainers.image.description="Millrace: brings lost tasks back, or, as webhooks, delivers webhooks"
COPY --from=rescue-packages /opt/venv /opt/venv
COPY --from=rescue-code /app /app
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["with-secrets", "python", "-m", "rescue.liveness"]
CMD ["python", "-m", "rescue"]

FROM base AS export
LABEL org.opencontainers.image.title="millrace-export" \
      org.opencontainers.image.description="Millrace: writes predictions to a bucket as Parquet"
COPY --from=export-packages /opt/venv /opt/venv
COPY --from=export-code /app /app
# Where EXPORT_URL=file:///export puts them, if a volume is mounted there.
RUN install -d -o millrace -g millrace /export
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["with-secrets", "python", "-m", "export.liveness"]
CMD ["python", "-m", "export"]

# Worker processes are the parallelism; their threads would fight over the cores.
FROM base AS worker-base
ENV OMP_NUM_THREADS=1
USER 10001:10001
HEALTHCHECK --interval=20s --timeout=10s --start-period=60s CMD ["with-secrets", "python", "-m", "worker.liveness"]
CMD ["python", "-m", "worker"]

FROM worker-base AS worker-xgboost
LABEL org.opencontainers.image.title="millrace-worker-xgboost" \
      org.opencontainers.image.description="Millrace: a worker for the report scorer"
COPY --from=worker-xgboost-packages /opt/venv /opt/venv
COPY --from=worker-xgboost-code /app /app

FROM worker-base AS worker-onnx
LABEL org.opencontainers.image.title="millrace-worker-onnx" \
      org.opencontainers.image.description="Millrace: a worker for the text and image classifiers"
COPY --from=worker-onnx-packages /opt/venv /opt/venv
COPY --from=worker-onnx-code /app /app

FROM worker-base AS worker-ctranslate2
LABEL org.opencontainers.image.title="millrace-worker-ctranslate2" \
      org.opencontainers.image.description="Millrace: a worker for the translator"
COPY --from=worker-ctranslate2-packages /opt/venv /opt/venv
COPY --from=worker-ctranslate2-code /app /app

FROM worker-base AS worker-ctranslate2-gpu
LABEL org.opencontainers.image.title="millrace-worker-ctranslate2-gpu" \
      org.opencontainers.image.description="Millrace: a worker for the translator on an NVIDIA GPU"
ENV LD_LIBRARY_PATH=/opt/venv/lib/python3.11/site-packages/nvidia/cublas/lib
COPY --from=worker-ctranslate2-gpu-packages /opt/venv /opt/venv
COPY --from=worker-ctranslate2-code /app /app

FROM worker-base AS worker-lightgbm
LABEL org.opencontainers.image.title="millrace-worker-lightgbm" \
      org.opencontainers.image.description="Millrace: a worker for models of LightGBM that operators add"
COPY --from=worker-lightgbm-packages /opt/venv /opt/venv
COPY --from=added-models-code /app /app

FROM worker-base AS worker-catboost
LABEL org.opencontainers.image.title="millrace-worker-catboost" \
      org.opencontainers.image.description="Millrace: a worker for models of CatBoost that operators add"
COPY --from=worker-catboost-packages /opt/venv /opt/venv
COPY --from=added-models-code /app /app

FROM worker-base AS worker
LABEL org.opencontainers.image.title="millrace-worker" \
      org.opencontainers.image.description="Millrace: a worker for every model"
COPY --from=worker-packages /opt/venv /opt/venv
COPY --from=worker-code /app /app

FROM base AS pool
LABEL org.opencontainers.image.title="millrace-pool" \
      org.opencontainers.image.description="Millrace: the HTTP API, which scores in processes of its own"
COPY --from=pool-packages /opt/venv /opt/venv
COPY --from=pool-code /app /app
ENV ENGINE=pool OMP_NUM_THREADS=1 PORT=8081 UVICORN_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "import http.client as h, os; \
c = h.HTTPConnection('localhost', int(os.environ['PORT']), timeout=3); c.request('GET', '/health/live'); exit(c.getresponse().status != 200)"]
CMD ["sh", "-c", "exec uvicorn --factory handler.app:create_app --port=$PORT --no-access-log \
--timeout-graceful-shutdown=2 --http=handler.connection:Connection"]

FROM base AS handler
LABEL org.opencontainers.image.title="millrace-handler" \
      org.opencontainers.image.description="Millrace: the HTTP API"
COPY --from=handler-packages /opt/venv /opt/venv
COPY --from=handler-code /app /app
ENV UVICORN_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "import http.client as h; \
c = h.HTTPConnection('localhost', 8081, timeout=3); c.request('GET', '/health/live'); exit(c.getresponse().status != 200)"]
CMD ["uvicorn", "--factory", "handler.app:create_app", "--port=8081", "--no-access-log", \
     "--timeout-graceful-shutdown=10", "--http=handler.connection:Connection"]
