# The server in one image: `docker build -t relais .`
# Settings come from the environment (docs/settings.md); nothing secret is in a layer. Deploying: docs/operations.md.

# ── what needs pip, and stays behind with its caches ─────────────────────────────────────────────────────
FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

# The lock alone, so that a change of code does not install everything again. Wheels only: slim has no compiler.
COPY requirements.txt ./
RUN pip install --require-hashes --only-binary :all: -r requirements.txt

COPY . .
# collectstatic reads the settings, which want a key. This one lives for one command and signs nothing.
RUN SECRET_KEY="$(python -c 'import secrets; print(secrets.token_hex(32))')" python manage.py collectstatic --noinput

# ── what runs ────────────────────────────────────────────────────────────────────────────────────────────
FROM python:3.11-slim

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATABASE_URL=sqlite:////data/db.sqlite3
WORKDIR /app

# A fixed uid, so that a volume keeps its owner from one image to the next. /data is the only directory the server
# may write: mount a volume there when the database is SQLite. There is no VOLUME line because Railway refuses it.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin relais \
    && mkdir /data \
    && chown 10001:10001 /data

# Owned by root: a server that is broken into cannot rewrite its own code.
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

USER 10001:10001
EXPOSE 8000

# Liveness only. A database that is away must not get the server, and its thousands of sockets, restarted.
HEALTHCHECK --interval=30s --timeout=3s --start-period=30s --retries=3 \
    CMD python -c "import http.client, os, sys; \
probe = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=2); \
probe.request('GET', '/health/live'); \
sys.exit(probe.getresponse().status != 200)"

# Daphne, or uvicorn with SERVER=uvicorn. Migrations are a step of the release, not of the start:
# `docker run … relais python manage.py migrate`.
CMD ["scripts/serve"]
