"""The serializer of query strings: a known parameter may be given once, and unknown ones are ignored."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from rest_framework import serializers


class QuerySerializer(serializers.Serializer[Any]):
    """Base of the serializers of query strings; refuses a name with two values: neither is the right one."""

    default_error_messages = {"repeated": "Given more than once."}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, QueryDict):
            known = [str(name) for name in self.fields]
            repeated = [name for name in known if len(data.getlist(name)) > 1]
            if repeated:
                message = self.error_messages["repeated"]
                raise serializers.ValidationError({name: [message] for name in repeated})
        return dict(super().to_internal_value(data))
