"""The parser of REST bodies: reads JSON by the rules of a frame, and refuses what a socket refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from realtime.defaults import conf
from realtime.errors import InvalidJsonError, TooBigError
from realtime.json_input import parse_json


class JsonParser(BaseParser):
    """Reads a JSON object of bounded size and depth, without numbers or characters that cannot be stored.

    Django REST framework's own parser answers 500 to a thousand brackets, and reads a body of any size: it
    does not obey DATA_UPLOAD_MAX_MEMORY_SIZE.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        limit = conf.limit_body_bytes
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooBigError("The body is larger than this server accepts.")
        try:
            return parse_json(body)
        except InvalidJsonError:
            raise InvalidJsonError("The body is not a JSON object, or is nested too deeply.") from None
