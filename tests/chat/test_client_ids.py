"""A client_id is one UUID however it is written: one form in every answer, one rule on sockets and REST."""

import json

import pytest

from chat.models import Message
from tests.chat.speaking import aside, chat_path, logged

PLAIN = "0198c6e0-abcd-7000-8000-00000000000f"
FORMS = [
    PLAIN,
    PLAIN.upper(),
    PLAIN.replace("-", ""),
    PLAIN.replace("-", "").upper(),
    f"{{{PLAIN}}}",
    f"urn:uuid:{PLAIN}",
    f"URN:UUID:{PLAIN.upper()}",
]
NO_UUIDS = [
    "",
    " ",
    f" {PLAIN}",
    f"{PLAIN}\n",
    f"{{{PLAIN}",
    f"{PLAIN}}}",
    f"{{{{{PLAIN}}}}}",
    f"urn:{PLAIN}",
    PLAIN[:-1],
    f"{PLAIN}0",
    PLAIN.replace("-", "", 1),
    "0-1-9-8c6e0abcd7000800000000000000f",
    PLAIN.replace("0198", "0_98"),
    PLAIN.replace("0198", "०१९८"),
    PLAIN.replace("a", "g"),
    7,
    2**127,
    1.5,
    True,
    [PLAIN],
    {"hex": PLAIN},
]


@pytest.mark.parametrize("form", FORMS)
async def test_client_id_in_any_form_is_answered_and_told_in_one_form(
    ana, bruno, conversation, connect, api, form
):
    client = await aside(api)(ana)
    url = f"/api/conversations/{conversation.pk}/messages/"
    async with (
        connect(ana, chat_path(conversation)) as socket,
        connect(bruno, chat_path(conversation)) as other,
    ):
        await socket.send({"message": "Bonjour", "client_id": form})
        ack = await socket.receive_until("ack")
        told = await other.receive()
        await socket.send({"message": "Bonjour", "client_id": PLAIN})
        again = await socket.receive_until("ack")
    over_rest = await aside(client.post)(url, {"message": "Bonjour", "client_id": form})
    [row] = (await aside(client.get)(url)).json()["results"]
    [listed] = (await aside(client.get)("/api/conversations/")).json()["results"]

    shown = [ack, told, again, over_rest.json(), row, listed["last_message"]]
    assert [answer["client_id"] for answer in shown] == [PLAIN] * 6
    assert (ack["duplicate"], again["duplicate"], over_rest.json()["duplicate"]) == (False, True, True)
    assert [json.loads(body)["client_id"] for body in await aside(logged)(conversation)] == [PLAIN]


@pytest.mark.parametrize("name", NO_UUIDS)
async def test_client_id_that_is_no_uuid_is_refused_on_sockets_and_rest(
    ana, conversation, connect, api, name
):
    client = await aside(api)(ana)
    async with connect(ana, chat_path(conversation, "?v=1")) as socket:
        await socket.receive_until("subscribed")
        await socket.send_wrong({"message": "Bonjour", "client_id": name, "ref": 1})
        refused = await socket.receive()
    over_rest = await aside(client.post)(
        f"/api/conversations/{conversation.pk}/messages/", {"message": "Bonjour", "client_id": name}
    )

    assert (refused["type"], refused["code"], refused["ref"]) == ("error", "invalid_frame", 1)
    assert (over_rest.status_code, over_rest.json()["code"]) == (400, "invalid_input")
    assert list(over_rest.json()["errors"]) == ["client_id"]
    assert not await Message.objects.aexists()
