"""The cases: bytes that are sent to the echo and the answers, each with its section of RFC 6455.

The groups and numbers are those of the Autobahn testsuite, which is the common measure of servers: 1 framing,
2 pings and pongs, 3 reserved bits, 4 opcodes, 5 fragmentation, 6 UTF-8, 7 closing, 9 size and number,
10 automatic fragmentation. Sizes above our limits are cut down to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.realtime.servers.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    close_frame,
    frame,
)

KIB = 1024
#: The largest message of our own sockets and of those of foreign dialects (`realtime.http.addresses`).
NATIVE, FOREIGN = 128 * KIB, 1024 * KIB

GREETING = b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!"
HELLO = Frame(TEXT, b"Hello")
NO_CODE = None


@dataclass(frozen=True)
class Case:
    """One conversation with the server."""

    name: str
    #: The section of RFC 6455.
    section: str
    #: The frames; each is written by itself.
    sends: tuple[bytes, ...]
    gets: tuple[Frame, ...] = ()
    #: The server closes with one of these codes. Empty: it does not close, until we do, with 1000.
    ends: frozenset[int | None] = frozenset()
    #: Bytes per write; 0 writes each frame as it is.
    chop: int = 0
    #: How often all of it happens on the same connection.
    rounds: int = 1
    path: str = "/ws/echo/"

    def __str__(self) -> str:
        return self.name


def answered(name: str, section: str, *sends: bytes, gets: Iterable[Frame] = (), **more: object) -> Case:
    """A case in which the connection goes on."""
    return Case(name, section, sends, tuple(gets), **more)  # type: ignore[arg-type]  # fields of Case


def failed(
    name: str, section: str, *sends: bytes, code: int = 1002, gets: Iterable[Frame] = (), **more: object
) -> Case:
    """A case in which the server ends the connection and says why; it may have answered some earlier
    frames."""
    return Case(name, section, sends, tuple(gets), frozenset({code}), **more)  # type: ignore[arg-type]  # as above


def closed(
    name: str, section: str, *sends: bytes, codes: Iterable[int | None], gets: Iterable[Frame] = ()
) -> Case:
    """A case in which the client closes, and the server answers with one of the codes."""
    return Case(name, section, sends, tuple(gets), frozenset(codes))


def text(payload: bytes, *, fin: bool = True) -> bytes:
    return frame(TEXT, payload, fin=fin)


def more(payload: bytes = b"", *, fin: bool = False) -> bytes:
    return frame(CONTINUATION, payload, fin=fin)


def in_fragments(opcode: int, payload: bytes, size: int) -> tuple[bytes, ...]:
    """A message cut into frames of so many bytes."""
    parts = [payload[i : i + size] for i in range(0, len(payload), size)] or [b""]
    last = len(parts) - 1
    return tuple(frame(CONTINUATION if i else opcode, part, fin=i == last) for i, part in enumerate(parts))


def framing() -> Iterator[Case]:
    for number, (kind, opcode, fill) in enumerate(
        (("text", TEXT, b"*"), ("binary", BINARY, b"\xfe")), start=1
    ):
        for size in (0, 125, 126, 127, 128, 65535, 65536):
            message = fill * size
            yield answered(
                f"1.{number} {kind} of {size}", "5.2", frame(opcode, message), gets=[Frame(opcode, message)]
            )
        message = fill * 65536
        yield answered(
            f"1.{number} {kind} of 65536 in packets of 997",
            "5.2",
            frame(opcode, message),
            gets=[Frame(opcode, message)],
            chop=997,
        )


def pings() -> Iterator[Case]:
    for name, payload in (
        ("without payload", b""),
        ("with text", b"Hello, world!"),
        ("that is no UTF-8", bytes.fromhex("00fffefdfcfb00ff")),
        ("of 125", b"\xfe" * 125),
    ):
        yield answered(f"2 ping {name}", "5.5.2", frame(PING, payload), gets=[Frame(PONG, payload)])
    yield failed("2.5 ping of 126", "5.5", frame(PING, b"\xfe" * 126))
    yield answered(
        "2.6 ping of 125 in single bytes",
        "5.5.2",
        frame(PING, b"\xfe" * 125),
        gets=[Frame(PONG, b"\xfe" * 125)],
        chop=1,
    )
    yield answered("2.7 pong nobody asked for", "5.5.3", frame(PONG))
    yield answered("2.8 pong with payload", "5.5.3", frame(PONG, b"unsolicited"))
    yield answered(
        "2.9 pong, then ping",
        "5.5.3",
        frame(PONG, b"unsolicited"),
        frame(PING, b"our"),
        gets=[Frame(PONG, b"our")],
    )
    ten = [f"payload-{number}".encode() for number in range(10)]
    for name, chop in (("ten pings", 0), ("ten pings in single bytes", 1)):
        yield answered(
            f"2.10 {name}",
            "5.5.2",
            *(frame(PING, payload) for payload in ten),
            gets=[Frame(PONG, payload) for payload in ten],
            chop=chop,
        )


def reserved_bits() -> Iterator[Case]:
    hello, ping = text(b"Hello"), frame(PING)
    yield failed("3.1 text with bit 1", "5.2", frame(TEXT, b"Hello", rsv=1))
    for name, chop in (("text with bit 2 between others", 0), ("the same in single bytes", 1)):
        yield failed(
            f"3.2 {name}",
            "5.2",
            hello,
            frame(TEXT, b"Hello", rsv=2),
            ping,
            gets=[HELLO, Frame(PONG)],
            chop=chop,
        )
    yield failed(
        "3.3 text with bits 3", "5.2", hello, frame(TEXT, b"Hello", rsv=3), ping, gets=[HELLO, Frame(PONG)]
    )
    # permessage-deflate would use bit 4; it is never negotiated.
    yield failed("3.4 text with bit 4", "5.2", frame(TEXT, b"Hello", rsv=4))
    yield failed("3.5 binary with bits 5", "5.2", frame(BINARY, b"\0\xff", rsv=5))
    yield failed("3.6 ping with bits 6", "5.2", frame(PING, b"Hello", rsv=6))
    yield failed("3.7 close with bits 7", "5.2", frame(CLOSE, b"\x03\xe8", rsv=7))


def opcodes() -> Iterator[Case]:
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        for name, sends in (
            ("empty", (frame(opcode),)),
            ("with payload", (frame(opcode, b"reserved"),)),
            ("after a text, before a ping", (text(b"Hello"), frame(opcode, b"reserved"), frame(PING))),
        ):
            yield failed(f"4 opcode {opcode} {name}", "5.2", *sends, gets=[HELLO, Frame(PONG)])
    yield failed("4 opcode 11 in single bytes", "5.2", frame(11, b"reserved"), chop=1)
    yield failed("4 frame that is not masked", "5.1", frame(TEXT, b"Hello", masked=False))
    yield failed("4 ping that is not masked", "5.1", frame(PING, masked=False))


def fragmentation() -> Iterator[Case]:
    yield failed("5.1 ping in two fragments", "5.5", frame(PING, b"one", fin=False), more(b"two", fin=True))
    yield failed("5.2 pong in two fragments", "5.5", frame(PONG, b"one", fin=False), more(b"two", fin=True))
    yield failed("5 close that is a fragment", "5.5", frame(CLOSE, b"\x03\xe8", fin=False))
    for name, chop in (("", 0), (", in single bytes", 1)):
        yield answered(
            f"5.3 text in two fragments{name}",
            "5.4",
            text(b"fragment1", fin=False),
            more(b"fragment2", fin=True),
            gets=[Frame(TEXT, b"fragment1fragment2")],
            chop=chop,
        )
        yield answered(
            f"5.6 text in two fragments, a ping between{name}",
            "5.4",
            text(b"fragment1", fin=False),
            frame(PING, b"ping"),
            more(b"fragment2", fin=True),
            gets=[Frame(PONG, b"ping"), Frame(TEXT, b"fragment1fragment2")],
            chop=chop,
        )
        yield answered(
            f"5.19 text in five fragments, pings between{name}",
            "5.4",
            text(b"fragment1", fin=False),
            more(b"fragment2"),
            frame(PING, b"ping 1"),
            more(b"fragment3"),
            more(b"fragment4"),
            frame(PING, b"ping 2"),
            more(b"fragment5", fin=True),
            gets=[
                Frame(PONG, b"ping 1"),
                Frame(PONG, b"ping 2"),
                Frame(TEXT, b"fragment1fragment2fragment3fragment4fragment5"),
            ],
            chop=chop,
        )
        for fin in (True, False):
            kind = "last" if fin else "middle"
            yield failed(
                f"5.9 continuation of nothing, a {kind} one{name}",
                "5.4",
                more(b"non-continuation", fin=fin),
                text(b"Hello"),
                gets=[HELLO],
                chop=chop,
            )
            yield failed(
                f"5.15 continuation after a message, a {kind} one{name}",
                "5.4",
                text(b"H", fin=False),
                more(b"ello", fin=True),
                more(b"non-continuation", fin=fin),
                text(b"Hello", fin=False),
                more(fin=True),
                gets=[HELLO, HELLO],
                chop=chop,
            )
        yield failed(
            f"5.18 text in two frames that both begin{name}",
            "5.4",
            text(b"fragment1", fin=False),
            text(b"fragment2"),
            chop=chop,
        )
    yield failed("5 binary inside a text", "5.4", text(b"fragment1", fin=False), frame(BINARY, b"fragment2"))
    yield answered(
        "5 binary in two fragments",
        "5.4",
        frame(BINARY, b"\xfe", fin=False),
        more(b"\xff", fin=True),
        gets=[Frame(BINARY, b"\xfe\xff")],
    )


#: The characters that RFC 3629 allows, at the edges of each length.
VALID_UTF8 = {
    "6.5 Greek": "κόσμε".encode(),
    "6.6 first of one byte": b"\0",
    "6.6 first of two": "\x80".encode(),
    "6.6 first of three": "\u0800".encode(),
    "6.6 first of four": "\U00010000".encode(),
    "6.7 last of one byte": b"\x7f",
    "6.7 last of two": "\u07ff".encode(),
    "6.7 last of three": "\uffff".encode(),
    "6.7 last of all": "\U0010ffff".encode(),
    "6.9 before the surrogates": "\ud7ff".encode(),
    "6.9 after the surrogates": "\ue000".encode(),
    "6.9 replacement character": "\ufffd".encode(),
    "6.22 noncharacters": "\ufdd0\ufdef\ufffe\uffff".encode(),
    "6.22 noncharacters of every plane": "".join(
        chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
    ).encode(),
    "6.23 specials": bytes.fromhex("efbfb9efbfbaefbfbbefbfbcefbfbdefbfbeefbfbf"),
}

INVALID_UTF8 = {
    "6.3 surrogate in Greek": bytes.fromhex("cebae1bdb9cf83cebcceb5eda080656469746564"),
    "6.4 above the last": bytes.fromhex("cebae1bdb9cf83cebcceb5f4908080656469746564"),
    "6.6 five bytes": bytes.fromhex("f888808080"),
    "6.6 six bytes": bytes.fromhex("fc8480808080"),
    "6.8 first above all": bytes.fromhex("f4908080"),
    "6.8 last of four bytes": bytes.fromhex("f7bfbfbf"),
    "6.8 last of five bytes": bytes.fromhex("fbbfbfbfbf"),
    "6.8 last of six bytes": bytes.fromhex("fdbfbfbfbfbf"),
    "6.10 first continuation alone": b"\x80",
    "6.10 last continuation alone": b"\xbf",
    **{f"6.11 {count} continuations": b"\x80\xbf\x80\xbf\x80\xbf"[:count] for count in range(2, 7)},
    "6.11 every continuation": bytes(range(0x80, 0xC0)),
    "6.12 lonely starts of two": b"".join(bytes([start, 0x20]) for start in range(0xC0, 0xE0)),
    "6.12 lonely starts of three": b"".join(bytes([start, 0x20]) for start in range(0xE0, 0xF0)),
    "6.12 lonely starts of four": b"".join(bytes([start, 0x20]) for start in range(0xF0, 0xF8)),
    "6.12 lonely starts of five and six": bytes.fromhex("f820f920fa20fb20fc20fd20"),
    "6.13 two, cut": bytes.fromhex("c0"),
    "6.13 three, cut": bytes.fromhex("e080"),
    "6.13 four, cut": bytes.fromhex("f08080"),
    "6.13 valid beginning of two, cut": bytes.fromhex("df"),
    "6.13 valid beginning of three, cut": bytes.fromhex("efbf"),
    "6.13 valid beginning of four, cut": bytes.fromhex("f3bfbf"),
    "6.14 all of these": bytes.fromhex("c0e080f08080dfefbff3bfbf"),
    "6.15 fe": b"\xfe",
    "6.15 ff": b"\xff",
    "6.15 fe fe ff ff": b"\xfe\xfe\xff\xff",
    "6.16 slash in two": bytes.fromhex("c0af"),
    "6.16 slash in three": bytes.fromhex("e080af"),
    "6.16 slash in four": bytes.fromhex("f08080af"),
    "6.17 largest in one too many": bytes.fromhex("c1bf"),
    "6.17 largest of two in three": bytes.fromhex("e09fbf"),
    "6.17 largest of three in four": bytes.fromhex("f08fbfbf"),
    "6.18 null in two": bytes.fromhex("c080"),
    "6.18 null in three": bytes.fromhex("e08080"),
    "6.18 null in four": bytes.fromhex("f0808080"),
    **{
        f"6.19 surrogate {surrogate}": bytes.fromhex(surrogate)
        for surrogate in ("eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf")
    },
    **{
        f"6.20 surrogates {pair}": bytes.fromhex(pair)
        for pair in ("eda080edb080", "edadbfedbfbf", "edae80edb080", "edafbfedbfbf")
    },
}


def utf8() -> Iterator[Case]:
    yield answered(
        "6.1 nothing in three fragments",
        "5.6",
        text(b"", fin=False),
        more(),
        more(fin=True),
        gets=[Frame(TEXT)],
    )
    yield answered(
        "6.1 only the middle one of three",
        "5.6",
        text(b"", fin=False),
        more(b"middle"),
        more(fin=True),
        gets=[Frame(TEXT, b"middle")],
    )
    yield answered("6.2 text that is not ASCII", "5.6", text(GREETING), gets=[Frame(TEXT, GREETING)])
    yield answered(
        "6.2 cut between two characters",
        "5.6",
        text(GREETING[:13], fin=False),
        more(GREETING[13:], fin=True),
        gets=[Frame(TEXT, GREETING)],
    )
    # A frame may end inside a character; the whole message may not.
    for name, payload in VALID_UTF8.items():
        yield answered(name, "5.6", text(payload), gets=[Frame(TEXT, payload)])
        yield answered(
            f"{name}, a fragment per byte",
            "5.6",
            *in_fragments(TEXT, payload, 1),
            gets=[Frame(TEXT, payload)],
        )
    for name, payload in INVALID_UTF8.items():
        yield failed(name, "8.1", text(payload), code=1007)
        yield failed(f"{name}, a fragment per byte", "8.1", *in_fragments(TEXT, payload, 1), code=1007)
        yield failed(f"{name}, in single bytes", "8.1", text(b"good" + payload), code=1007, chop=1)
    # A message that is no text need not be UTF-8.
    yield answered(
        "6 binary that is no UTF-8",
        "5.6",
        frame(BINARY, b"\xc0\xaf\xff"),
        gets=[Frame(BINARY, b"\xc0\xaf\xff")],
    )


def closing() -> Iterator[Case]:
    yield closed(
        "7.1.1 text, then close", "5.5.1", text(b"Hello") + close_frame(), codes=[1000], gets=[HELLO]
    )
    yield closed("7.1.2 close twice", "5.5.1", close_frame() + close_frame(), codes=[1000])
    yield closed("7.1.3 ping after close", "5.5.1", close_frame() + frame(PING), codes=[1000])
    yield closed("7.1.4 text after close", "5.5.1", close_frame() + text(b"Hello"), codes=[1000])
    yield closed(
        "7.1.5 close inside a message",
        "5.4",
        text(b"fragment1", fin=False) + close_frame() + more(b"fragment2", fin=True),
        codes=[1000],
    )
    yield closed(
        "7.1.6 large text, close, ping",
        "5.5.1",
        text(b"BAsd7&jh23" * 13000),
        text(b"Hello") + close_frame() + frame(PING),
        codes=[1000],
        gets=[Frame(TEXT, b"BAsd7&jh23" * 13000), HELLO],
    )
    yield closed("7.3.1 close without a code", "7.1.5", close_frame(NO_CODE), codes=[NO_CODE, 1000])
    yield failed("7.3.2 close of one byte", "5.5.1", frame(CLOSE, b"a"))
    yield closed("7.3.4 close with a reason", "5.5.1", close_frame(1000, b"Hello"), codes=[1000])
    yield closed("7.3.5 close with the longest reason", "5.5", close_frame(1000, b"*" * 123), codes=[1000])
    yield failed("7.3.6 close with a longer reason", "5.5", close_frame(1000, b"*" * 124))
    yield failed(
        "7.5.1 reason that is no UTF-8", "8.1", close_frame(1000, bytes.fromhex("cebaeda080")), code=1007
    )
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        yield closed(f"7.7 close with {code}", "7.4.1", close_frame(code), codes=[code, 1000])
    # These codes were registered with IANA after the RFC was written (§7.4.2).
    for code in (1012, 1013, 1014):
        yield closed(f"7.7 close with {code}", "7.4.2", close_frame(code), codes=[code, 1000])
    for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535):
        yield failed(f"7.9 close with {code}", "7.4", close_frame(code))


def size_and_number() -> Iterator[Case]:
    for number, (kind, opcode, fill) in enumerate(
        (("text", TEXT, b"*"), ("binary", BINARY, b"\xfe")), start=1
    ):
        for limit, path in ((NATIVE, "/ws/echo/"), (FOREIGN, "/websocket")):
            whole = (Frame(opcode, fill * limit),)
            name = f"{kind} of {limit // KIB} KiB"
            yield answered(f"9.{number} {name}", "5.2", frame(opcode, fill * limit), gets=whole, path=path)
            for part in (64, 256, 1 * KIB, 16 * KIB, 64 * KIB):
                yield answered(
                    f"9.{number + 2} {name} in fragments of {part}",
                    "5.4",
                    b"".join(in_fragments(opcode, fill * limit, part)),
                    gets=whole,
                    path=path,
                )
            # The suite ends a message with an empty frame where its size is a multiple of the fragments'.
            yield answered(
                f"9.{number + 2} {name} in fragments of 64, and an empty one",
                "5.4",
                b"".join(in_fragments(opcode, fill * limit, 64)[:-1]),
                frame(CONTINUATION, fill * 64, fin=False) + frame(CONTINUATION),
                gets=whole,
                path=path,
            )
            for packet in (64, 512, 2048):
                yield answered(
                    f"9.{number + 4} {name} in packets of {packet}",
                    "5.2",
                    frame(opcode, fill * limit),
                    gets=whole,
                    path=path,
                    chop=packet,
                )
        for size in (0, 16, 64, 256, 1024, 4096):
            yield answered(
                f"9.{number + 6} 500 times {kind} of {size}",
                "5.2",
                frame(opcode, fill * size),
                gets=[Frame(opcode, fill * size)],
                rounds=500,
            )


def automatic_fragmentation() -> Iterator[Case]:
    for name, chop in (("", 0), (", in packets of 700", 700)):
        yield answered(
            f"10.1 text of 65536 in fragments of 1300{name}",
            "5.4",
            *in_fragments(TEXT, b"*" * 65536, 1300),
            gets=[Frame(TEXT, b"*" * 65536)],
            chop=chop,
        )


CASES = [
    *framing(),
    *pings(),
    *reserved_bits(),
    *opcodes(),
    *fragmentation(),
    *utf8(),
    *closing(),
    *size_and_number(),
    *automatic_fragmentation(),
]
