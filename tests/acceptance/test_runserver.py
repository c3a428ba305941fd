"""`python manage.py runserver` runs Daphne too, and serves the same sockets."""

from collections.abc import Iterator

import pytest

from tests.acceptance.people import People
from tests.acceptance.wscat import Wscat
from tests.conftest import Backends
from tests.servers import ServerProcess

# Slow tests run on one stack each; what is tested here does not depend on it.
pytestmark = [pytest.mark.acceptance, pytest.mark.stack("small")]


@pytest.fixture
def runserver(new_backends) -> Iterator[ServerProcess]:
    backends: Backends = new_backends()
    with ServerProcess("runserver", **vars(backends)) as server:
        yield server


def test_runserver_holds_a_conversation(runserver: ServerProcess):
    people = People(runserver)
    chat = f"{runserver.ws_url}/ws/chat/123/"
    with (
        Wscat("-c", f"{chat}?token={people.token('bruno')}") as bruno,
        Wscat("-c", f"{chat}?token={people.token('ana')}") as ana,
    ):
        bruno.connects().types('{"message": "Salut"}')
        bruno.hears("Salut")

        ana.connects().types('{"message": "Bonjour"}')

        assert ana.hears("Bonjour") == bruno.reads()
        bruno.types('{"message": "Au revoir"}')
        assert bruno.reads() == ana.reads()
