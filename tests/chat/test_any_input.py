"""Any text and any frame is either an error, or is stored and read back by every reader exactly as it was."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from realtime.http.throttling import RestThrottle
from tests.chat.speaking import aside, chat_path, contents, logged, say

TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
TYPES = ["message", "edit", "delete", "read", "delivered", "ping", "auth.refresh", "subscribe", ""]
FRAMES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(TYPES) | JSON,
        **dict.fromkeys(("message", "client_id", "message_id", "up_to_seq", "token", "ref"), JSON),
    },
)


def examples_of(strategy: Any, count: int, *always: Any) -> list[Any]:
    """So many examples, collected first, because hypothesis cannot await."""
    found: list[Any] = []

    def collect(value: Any) -> None:
        found.append(value)

    run: Callable[[], None] = given(strategy)(collect)
    for value in always:
        run = example(value)(run)
    settings(
        max_examples=count,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(run)()
    return found


@pytest.mark.parametrize("escaped", [True, False])
async def test_any_text_is_an_error_or_is_read_back_everywhere_as_it_was(
    ana, bruno, conversation, connect, api, unlimited, escaped
):
    """The text is escaped or raw in the frame; it is compared live, in the table, in the replay and in the
    history."""
    accepted, live, codes = [], [], set()
    async with connect(ana, chat_path(conversation, "?v=1")) as socket:
        for text in examples_of(
            TEXTS, 120, "\x00", "\ud800", "\u2028\ufeff\uffff\U0010ffff", '"\\/', " ", "x" * 8000
        ):
            frame = json.dumps({"message": text, "ref": 1}, ensure_ascii=escaped)
            await socket.send_text(frame)
            while (answer := await socket.receive())["type"] not in ("ack", "error"):
                live += [answer["content"]] if answer["type"] == "message" else []
            codes.add(answer.get("code"))
            accepted += [json.loads(frame)["message"]] if answer["type"] == "ack" else []
        while len(live) < len(accepted):
            live.append((await socket.receive())["content"])

    assert live == accepted
    assert codes == {None, "invalid_json", "invalid_text", "empty_message"}
    assert await aside(contents)(conversation) == accepted

    bodies = await aside(logged)(conversation)
    assert [json.loads(body)["content"] for body in bodies] == accepted
    async with connect(bruno, chat_path(conversation, "?since=0")) as reader:
        assert [await reader.receive_text() for _ in bodies] == bodies
    client, history = await aside(api)(bruno), []
    url = f"/api/conversations/{conversation.pk}/messages/?limit=200"
    while url:
        page = (await aside(client.get)(url)).json()
        history += [row["content"] for row in page["results"]]
        url = page["next"]
    assert history == accepted[::-1]


async def test_any_frame_leaves_the_socket_alive_and_is_no_fault_of_ours(
    ana, bruno, conversation, connect, unlimited, caplog
):
    async with (
        connect(ana, chat_path(conversation)) as socket,
        connect(bruno, chat_path(conversation)) as other,
    ):
        for number, frame in enumerate(examples_of(FRAMES, 200)):
            await socket.send_text(json.dumps(frame))
            await socket.send({"type": "ping", "ref": f"after {number}"})
            while (answer := await socket.receive()).get("ref") != f"after {number}":
                assert answer.get("code") != "internal_error", frame
        await aside(say)(conversation, ana, "alive")
        while (await other.receive())["content"] != "alive":
            pass

    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert all(json.loads(body)["type"] for body in await aside(logged)(conversation))


@pytest.mark.parametrize("name", ["message", "client_id"])
def test_any_value_over_rest_is_an_answer(db, ana, conversation, api, unlimited, name):
    """The answer is 2xx and the same value, or 400: never 500, never a value other than the one that was
    sent."""
    client, url = api(ana), f"/api/conversations/{conversation.pk}/messages/"
    stored = 0
    for value in examples_of(JSON, 100, "\x00", "\ud800", "a\x00", 10**30):
        RestThrottle.buckets.clear()
        body = json.dumps({"message": "Bonjour", name: value})
        answer = client.generic("POST", url, body, content_type="application/json")
        assert answer.status_code in (200, 201, 400), body
        stored += answer.status_code == 201
        if name == "message" and answer.status_code == 201 and isinstance(value, str):
            assert contents(conversation)[-1] == json.loads(body)["message"]
    assert len(contents(conversation)) == stored
