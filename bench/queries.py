"""Counts the queries of one request, run like a server: `python -m bench.queries PATH TOKEN`."""

from __future__ import annotations

import json
import os
import sys


def main(path: str, token: str) -> None:
    """Make the request in this process; print the number of the page's queries and of the token's."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(headers={"Authorization": f"Bearer {token}"}, SERVER_NAME="127.0.0.1")
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path)
    if answer.status_code != 200:
        sys.exit(f"{path} answered {answer.status_code}")
    statements = [query["sql"] for query in captured if query["sql"].lstrip().upper().startswith("SELECT")]
    token_checks = [sql for sql in statements if "accounts_session" in sql]
    json.dump({"page": len(statements) - len(token_checks), "token": len(token_checks)}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
