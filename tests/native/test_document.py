"""Every command printed in `docs/protocols/native.md` can be pasted, from top to bottom."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from native.commands import COMMANDS
from notifications.services import notify
from tests.chat.speaking import aside, say
from tests.factories import make_user

PAGE = (Path(__file__).parents[2] / "docs/protocols/native.md").read_text()
#: Left out: frames of the server, and commands that need a token or end the socket.
_NOT_PASTED = {"auth", "auth.refresh", "pong"}


def commands() -> list[dict[str, Any]]:
    """The printed frames whose `type` is a command, in order."""
    frames, reader = [], json.JSONDecoder()
    for found in re.finditer(re.escape('{"type":'), PAGE):
        try:
            frame, _ = reader.raw_decode(PAGE, found.start())
        except ValueError:
            continue  # an answer with something left out
        if frame["type"] in COMMANDS:
            frames.append(frame)
    return frames


def test_every_command_is_written_out() -> None:
    assert {frame["type"] for frame in commands()} | _NOT_PASTED == set(COMMANDS)


async def test_every_command_can_be_pasted(ana, bruno, dora, group, page_of, unlimited) -> None:
    await aside(make_user)("clara")
    message = await aside(say)(group, ana, "one")
    entry = await aside(notify)(user=ana, kind="payment_completed", data={"payment_id": 1})
    named = {"conversation_id": group.pk, "message_id": message.message_id, "user_id": dora.pk}
    async with page_of(ana) as page:
        for frame in commands():
            if frame["type"] in _NOT_PASTED:
                continue
            pasted = {**frame, **{name: value for name, value in named.items() if name in frame}}
            if pasted.get("topic", "").startswith("conversation."):
                pasted["topic"] = f"conversation.{group.pk}"
            if str(pasted.get("id", "")).startswith("conversation."):
                pasted["id"] = f"conversation.{group.pk}"
            pasted |= {"ids": [entry.pk]} if "ids" in frame else {}
            pasted |= {"client_id": "0192f0c1-6c1e-7cc2-a1f5-3a1f0f5d9a01"} if "client_id" in frame else {}
            pasted.pop("cursor", None)
            pasted.pop("type")
            pasted.pop("ref", None)
            if frame["type"] == "subscribe":  # the page subscribes to its example more than once
                await page.find("unsubscribe", id=pasted["topic"])
            answer = await page.find(frame["type"], **pasted)
            assert answer["type"] != "error", (frame, answer)
