"""Typing on the native socket: a companion of conversations, and the command `typing`."""

from __future__ import annotations

import msgspec

from chat.events import conversation_topic
from chat.native.companions import Companion, add_companion
from chat.resuming import membership_of
from native.commands import on_loop
from native.consumer import NativeConsumer
from native.dialect import Asked
from realtime import Bucket, Id
from typing_indicator.events import Typing, TypingRendering, typing_topic
from typing_indicator.voices import Voice

add_companion(Companion(typing_topic, TypingRendering(), lambda wish: wish.typing, (Typing,)))


class SetTyping(msgspec.Struct):
    """You type, or have stopped; may be sent at every keystroke."""

    conversation_id: Id
    is_typing: bool


class Voices:
    """The voices of one socket, by conversation."""

    def __init__(self, socket: NativeConsumer) -> None:
        self._socket = socket
        self._bucket = Bucket()
        self._voices: dict[int, Voice] = {}

    async def say(self, conversation_id: int, *, is_typing: bool) -> None:
        """Tell the others in one of the user's conversations."""
        if not self._socket.covers(conversation_topic(conversation_id)):
            self._voices.pop(conversation_id, None)
            await membership_of((self._socket.user_id, conversation_id))
        voice = self._voices.get(conversation_id)
        if voice is None:
            voice = self._voices[conversation_id] = Voice(self._socket.there, conversation_id, self._bucket)
        voice.say(is_typing=is_typing)

    async def close(self) -> None:
        """Tell that the user stopped, when the socket closes."""
        for voice in self._voices.values():
            voice.fall_silent()


@on_loop("typing", SetTyping)
async def set_typing(socket: NativeConsumer, wish: SetTyping, asked: Asked) -> None:
    await socket.keep(Voices).say(wish.conversation_id, is_typing=wish.is_typing)
    socket.acknowledge(asked)
