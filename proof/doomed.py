"""Runs a server that dies between a commit and its bell once a file exists: `-m proof.doomed -m daphne …`."""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import django

from realtime.events import Logged


def main() -> None:
    """Put the fault where commits are announced, then run the named program."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from realtime import publishing
    from realtime.bells import local_hubs

    deliver, fatal = local_hubs.deliver, Path(os.environ["PROOF_DIE_IF"])

    def deliver_or_die(events: Sequence[Logged]) -> None:
        # Only for stored events: typing is announced here too.
        if fatal.exists() and any(event.seq is not None for event in events):
            os.kill(os.getpid(), signal.SIGKILL)
        deliver(events)

    publishing.deliver = deliver_or_die  # type: ignore[attr-defined]
    _, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
