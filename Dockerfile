# One target a program with packages of its own: handler (migrate runs from it too), worker (rescue, webhooks too), flower.
# Plain instructions only, so that the classic builder and BuildKit both build it.
FROM python:3.11-slim AS base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin millrace
WORKDIR /app


# The packages: by hash, and wheels only, so that no stage needs a compiler. pip compiles the bytecode, as nothing can
# be written at run time, and stays outside the virtual environment.
FROM base AS handler-packages
COPY requirements/handler.txt ./
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --require-hashes --only-binary=:all: -r handler.txt

FROM base AS worker-packages
COPY requirements/worker.txt ./
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --require-hashes --only-binary=:all: -r worker.txt

FROM base AS flower-packages
COPY requirements/flower.txt ./
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --require-hashes --only-binary=:all: -r flower.txt


# Our code, readable for everyone whatever the checkout's umask was.
FROM base AS worker-code
COPY broker broker
COPY models models
COPY store store
COPY telemetry telemetry
COPY webhooks webhooks
COPY worker worker
RUN python -m compileall -q . && chmod -R a+rX .

# The handler reads a model's spec, version and evaluation; it neither has the runtime nor loads the artifact.
FROM base AS handler-code
COPY alembic.ini ./
COPY broker broker
COPY cli/__init__.py cli/keys.py cli/local.py cli/webhook_secret.py cli/redact.py cli/
COPY handler handler
COPY migrations migrations
COPY models models
COPY store store
COPY telemetry telemetry
COPY webhooks webhooks
RUN find models -name model.py -delete \
    && find models -path '*/artifact/*' -type f ! -name CURRENT ! -name manifest.json ! -name evaluation.json -delete \
    && python -m compileall -q . && chmod -R a+rX .


FROM base AS flower
COPY --from=flower-packages /opt/venv /opt/venv
USER 10001:10001
EXPOSE 5566
CMD ["celery", "flower", "--address=0.0.0.0", "--port=5566"]

FROM base AS worker
COPY --from=worker-packages /opt/venv /opt/venv
COPY --from=worker-code /app /app
# Worker processes are the parallelism; their threads would fight over the cores.
ENV OMP_NUM_THREADS=1
USER 10001:10001
CMD ["python", "-m", "worker"]

FROM base AS handler
COPY --from=handler-packages /opt/venv /opt/venv
COPY --from=handler-code /app /app
USER 10001:10001
EXPOSE 8081
CMD ["uvicorn", "--factory", "handler.app:create_app", "--host=0.0.0.0", "--port=8081", "--no-access-log", \
     "--timeout-graceful-shutdown=10", "--http=handler.connection:Connection"]
