"""Reactions of the typing indicator: typing and messages keep a process's typists up to date."""

from __future__ import annotations

from realtime import reacts_to
from typing_indicator.typists import forget_sender, remember_typist

reacts_to("typing")(remember_typist)
reacts_to("message")(forget_sender)
