#!/usr/bin/env python
"""Django's command line, with our settings."""

import os
import sys


def main() -> None:
    """Run the command that was asked for; a wrong setting is one sentence, not a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.conf import settings
    from django.core.management import execute_from_command_line

    from config.env import SettingError

    try:
        if sys.argv[1:2] == ["seed_demo"] and not settings.DEMO_ENABLED:
            # Its application is not installed then, and "unknown command" would explain nothing.
            sys.exit("seed_demo needs DEMO_ENABLED=1: it makes users whose passwords everybody knows.")
        execute_from_command_line(sys.argv)
    except SettingError as problem:
        sys.exit(f"Relais cannot start. {problem}")


if __name__ == "__main__":
    main()
