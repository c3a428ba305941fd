"""Errors of those who ask for rows and their changes."""

from __future__ import annotations

from realtime import NotFoundError


class UnknownCollectionError(NotFoundError):
    """There is no such collection, or nothing of it is yours to read."""

    code = "unknown_collection"
