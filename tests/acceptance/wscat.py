"""wscat from npm in a terminal of its own, driven as a person would do it: lines in, lines out.

wscat needs a terminal: without one it does not say that it was disconnected, or with which code.
"""

import codecs
import json
import os
import pty
import re
import signal
import subprocess
import threading
import time
from itertools import pairwise
from typing import Any, Self

from contract.testing import Witness
from tests.programs import wscat as wscat_command

PATIENCE_SECONDS = 20.0  # Node takes a second to start, and many times that on a busy machine
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Wscat:
    """One running wscat: `with Wscat("-c", url) as ana: ana.types(…); ana.reads()`."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        url = next(word for word in arguments if word.startswith(("ws:", "wss:")))
        subprotocols = [name for flag, name in pairwise(arguments) if flag == "-s"]
        self._witness = Witness(f"/{url.partition('//')[2].partition('/')[2]}", subprotocols)
        self._text = ""
        self._seen = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        self._terminal, its_side = pty.openpty()
        self._child = subprocess.Popen(
            [*wscat_command(), "--no-color", *self._arguments],
            stdin=its_side,
            stdout=its_side,
            stderr=its_side,
            start_new_session=True,
        )
        os.close(its_side)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGKILL)
        self._child.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        os.close(self._terminal)

    def types(self, line: str) -> None:
        """Type a line and press Enter."""
        self._witness.said(line, "any")
        os.write(self._terminal, line.encode() + b"\r")

    def connects(self) -> Self:
        """Return once wscat says that it is connected."""
        self._wait_for(r"Connected \(press CTRL\+C to quit\)")
        return self

    def reads(self) -> dict[str, Any]:
        """The next frame that wscat shows."""
        text = self._wait_for(r"< (\{.*\})\s*\n")[1]
        self._witness.told(text)
        frame: dict[str, Any] = json.loads(text)
        return frame

    def hears(self, content: str) -> dict[str, Any]:
        """The frame of the next message with this text; earlier frames are skipped."""
        while (frame := self.reads()).get("content") != content:
            pass
        return frame

    def is_told(self) -> int:
        """The code with which the server closes the connection."""
        return int(self._wait_for(r"Disconnected \(code: (\d+)")[1])

    def _wait_for(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._changed:
            while (found := re.compile(pattern).search(self._text, self._seen)) is None:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"wscat never showed {pattern!r}, but:\n{self._text}")
            self._seen = found.end()
        return found

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a read may end inside a character
        while True:
            try:
                chunk = os.read(self._terminal, 65536)
            except OSError:  # Linux raises this when the other side is closed
                return
            with self._changed:
                self._text += _COLOURS.sub("", decoder.decode(chunk))
                self._changed.notify_all()
