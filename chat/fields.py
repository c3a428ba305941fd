"""Fields of commands about messages, shared by the guide's sockets and the native one."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from realtime import Text, conf

#: The text of a message. Its maximum is the setting's value when the process starts.
Content = Annotated[
    Text, Meta(extra_json_schema={"minLength": 1, "maxLength": conf.limit_content, "examples": ["Bonjour !"]})
]
_UUID = (
    "([uU][rR][nN]:[uU][uU][iI][dD]:)?([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32})"
)
#: A UUID in one of the forms that `clean_client_id` reads.
ClientId = Annotated[
    str,
    Meta(
        extra_json_schema={
            "pattern": f"^({_UUID}|\\{{{_UUID}\\}})$",
            "examples": ["0198a6f0-5c1e-7d3a-9b42-2f1d6c8e7a90"],
        }
    ),
]
#: Why a client cannot resume from its position.
ResyncReason = Annotated[str, Meta(extra_json_schema={"enum": ["unknown_position", "too_old", "rejoined"]})]
