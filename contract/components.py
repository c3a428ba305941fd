"""The components of the document: schemas by name, which refer to each other."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

#: What a reference to a schema begins with.
SCHEMAS = "#/components/schemas/"
#: The schema of the closed list of error codes.
ERROR_CODE = "ErrorCode"
