"""The types of fields on the wire: each says once what such a field of an event or a command may hold.

Commands are held to them, and the published contract says the same. Where the check is elsewhere, or the
answer to a wrong value is another one than `invalid_frame`, a type only says it (`extra_json_schema`).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated
from uuid import UUID

from msgspec import Meta

#: Integers beyond this are not the same number in every JSON reader (2⁵³, JavaScript's limit).
MAX_INTEGER = 2**53 - 1
MAX_REF_LENGTH = 64
#: C0 controls but tab, line feed and carriage return; DEL. Not every database stores them.
CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f"

#: The id of a row.
Id = Annotated[int, Meta(ge=1, le=MAX_INTEGER, examples=[123])]
#: The number of an event in its log; 0 is before the first.
Seq = Annotated[int, Meta(ge=0, le=MAX_INTEGER, examples=[981])]
#: A count.
Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER, examples=[3])]
#: A position in a log, as clients are told it and give it back.
PositionText = Annotated[str, Meta(pattern=r"^[0-9]{1,16}(-[0-9a-f]{10})?$", examples=["981-3f9c2a71d0"])]
#: A moment, in UTC.
Moment = Annotated[
    dt.datetime,
    Meta(
        extra_json_schema={
            "format": "date-time",
            "pattern": "Z$",
            "examples": ["2025-12-09T10:30:00Z"],
        }
    ),
]
#: A moment as a number: seconds since 1970.
UnixTime = Annotated[int, Meta(ge=0, le=MAX_INTEGER, examples=[1796121000])]
#: A UUID as it is answered: in lower case, with dashes.
Uuid = Annotated[
    UUID,
    Meta(
        extra_json_schema={
            "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
            "examples": ["0198a6f0-5c1e-7d3a-9b42-2f1d6c8e7a90"],
        }
    ),
]
#: A text that a client sends: no character that a database or a JSON reader refuses.
Text = Annotated[
    str,
    Meta(extra_json_schema={"pattern": f"^[^{CONTROLS}]*$"}),
]
#: The ref that a client gives a command, repeated in the answer.
Ref = (
    Annotated[int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER, examples=[7])]
    | Annotated[Text, Meta(max_length=MAX_REF_LENGTH)]
    | None
)

#: Marks a field of an event that was added when logs already held events of its type: they lack it.
ADDED = Meta(extra_json_schema={"x-added": True})
