# Sourced by the other scripts: strict mode, the root of the clone as directory, and the virtual environment.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv
PYTHON="$VENV/bin/python"

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# read_settings HOST: sets SERVER, HOST, PORT, DATABASE, LAYER and DEMO_ADMIN_PASSWORD to what the server itself
# reads, from the environment and .env, with this HOST where neither names one. A wrong value stops here, with the
# server's own sentence about it.
read_settings() {
    local assignments
    assignments=$("$PYTHON" - "$1" <<'PYTHON'
import shlex
import sys

from django.core.exceptions import ImproperlyConfigured

try:
    from config import settings
except ImproperlyConfigured as problem:
    sys.exit(str(problem))

sqlite = settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
redis = "hosts" in settings.CHANNEL_LAYERS["default"].get("CONFIG", {})
for name, value in {
    "SERVER": settings.SERVER,
    "HOST": settings.env.text("HOST", sys.argv[1]),
    "PORT": settings.PORT,
    "DATABASE": "SQLite" if sqlite else "PostgreSQL",
    "LAYER": "Redis" if redis else "memory layer: one process only",
    "DEMO_ADMIN_PASSWORD": settings.DEMO_ADMIN_PASSWORD,
}.items():
    print(f"{name}={shlex.quote(str(value))}")
PYTHON
    ) || exit 1
    eval "$assignments"
}

# A Python that is new enough. A name on PATH may be a version manager's shim of something absent, so each is run.
find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3.14 python3 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$name"
            return
        fi
    done
    die "Relais needs Python 3.11 or newer; PATH has $(python3 --version 2>/dev/null || echo 'no python3')."
}

# apt-get, as root. A machine that has just started updates itself: its locks are waited for.
apt() {
    local _try
    for _try in 1 2 3 4 5 6; do
        DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >&2 && return
        sleep 10
    done
    return 1
}

create_venv() {
    local python
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # Debian and Ubuntu ship these apart from Python itself.
        [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
            die "$python cannot create virtual environments: install python3-venv (apt-get install python3-venv)."
        say "Installing python3-venv …"
        apt update
        apt install --yes --no-install-recommends python3-venv
    fi
    say "Creating $VENV with $("$python" --version) …"
    "$python" -m venv "$VENV"
}

# install LOCK: what the lock says, exactly; does nothing when that is what the environment has already.
install() {
    local lock=$1
    [ -x "$PYTHON" ] || create_venv
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$VENV has $("$PYTHON" --version), Relais needs 3.11 or newer: remove $VENV and try again."
    cmp -s "$lock" "$VENV/installed-$lock" && return
    say "Installing $lock …"
    rm -f "$VENV"/installed-*
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$lock" >&2
    cp "$lock" "$VENV/installed-$lock"
    # The development lock holds the other one.
    [ "$lock" = requirements.txt ] || cp requirements.txt "$VENV/installed-requirements.txt"
}
