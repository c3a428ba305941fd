"""An app in a directory of its own, named in EXTRA_APPS: everything it has is found."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.processes import wait_until
from tests.servers import ROOT, ServerProcess, product_environment

pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]

FILES = {
    "__init__.py": "",
    "models.py": """
from django.db import models

class Shelf(models.Model):
    name = models.CharField(max_length=50)
""",
    "urls.py": """
from django.http import JsonResponse
from django.urls import path
from library.models import Shelf

urlpatterns = [path("shelves/", lambda request: JsonResponse({"shelves": Shelf.objects.count()}))]
""",
    "routing.py": """
from django.urls import path
from guide_dialect.consumer import GuideConsumer

class Shelves(GuideConsumer):
    async def authorize(self):
        self.push({"type": "shelves"})

websocket_urlpatterns = [path("ws/shelves/", Shelves.as_asgi())]
""",
    "watched.py": """
from changes import watch
from library.models import Shelf

watch(Shelf, name="shelves", fields=["id", "name"])
""",
    "native.py": """
import msgspec
from library.models import Shelf
from native.commands import in_thread

class AddShelf(msgspec.Struct):
    name: str

@in_thread("shelf.add", AddShelf)
def add(user, wish):
    return {"id": Shelf.objects.create(name=wish.name).pk}
""",
}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A directory with the app `library`."""
    (tmp_path / "library").mkdir()
    for name, text in FILES.items():
        (tmp_path / "library" / name).write_text(text)
    return tmp_path


@pytest.mark.usefixtures("unjudged")  # the app is not installed here, whose command this contract lacks
def test_app_of_others_is_found_like_our_own(elsewhere: Path, new_database: Callable[[], str]) -> None:
    database_url = new_database()
    extra = {"EXTRA_APPS": "library", "PYTHONPATH": f"{ROOT}{os.pathsep}{elsewhere}"}
    environment = product_environment(database_url=database_url) | extra
    for command in (["makemigrations", "library"], ["migrate"]):
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True)
    token = subprocess.run(
        [sys.executable, "manage.py", "token", "ana"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()

    with ServerProcess("daphne", database_url=database_url, env=extra) as server:
        with connect(f"{server.ws_url}/ws/shelves/?token={token}") as socket:
            assert json.loads(socket.recv(timeout=10)) == {"type": "shelves"}
        with connect(f"{server.ws_url}/ws/?token={token}") as socket:
            assert json.loads(socket.recv(timeout=10))["type"] == "hello"
            socket.send(json.dumps({"type": "shelf.add", "name": "Poetry", "ref": 1}))
            assert json.loads(socket.recv(timeout=10)) == {"type": "ack", "ref": 1, "result": {"id": 1}}
        with urllib.request.urlopen(f"{server.url}/api/shelves/") as answer:
            assert json.load(answer) == {"shelves": 1}
        wait_until(
            lambda: shelves_told(database_url) == [{"id": 1, "name": "Poetry"}], seconds=30, what="told"
        )


def shelves_told(database_url: str) -> list[dict[str, object]]:
    """The new rows in the log of the collection that the app's `watched.py` declares."""
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as database:
        told = database.execute(
            "SELECT body FROM realtime_loggedevent WHERE topic_id IN"
            " (SELECT id FROM realtime_topic WHERE name = 'collection.shelves') ORDER BY seq"
        )
        return [json.loads(body)["new"] for (body,) in told]
