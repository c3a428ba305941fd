"""Commands of the native socket that read rows of collections."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import msgspec
from msgspec import Meta

from accounts.models import User
from changes import reading
from changes.filters import Page
from changes.native.frames import RowsSerializer
from changes.native.pages import page_of
from changes.watches import counts_of, person, view_of
from native.commands import in_thread
from native.feeds import DEFAULT_SNAPSHOT, MAX_SNAPSHOT
from native.rows import Fields, Filter, Key, Search, Sort, asked
from realtime import Count, one_moment

CollectionName = Annotated[str, Meta(max_length=40, examples=["orders"])]


class ListRows(msgspec.Struct):
    """A page of a collection's rows."""

    collection: CollectionName
    fields: Fields | None = None
    filter: Filter | None = None
    search: Search | None = None
    sort: Sort | None = None
    key: Key | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_SNAPSHOT)] = DEFAULT_SNAPSHOT
    offset: Count = 0
    counted: Annotated[bool, Meta(description="Whether to count the rows, too.")] = False


@in_thread("rows", ListRows, shows=RowsSerializer)
def rows(user: User, wish: ListRows) -> msgspec.Raw:
    with one_moment():
        seen = view_of(person(user.pk), wish.collection, asked(wish), key=wish.key)
        now = dt.datetime.now(dt.UTC)
        found = reading.rows_of(seen, Page(wish.limit + 1, wish.offset), now)
        counts = counts_of(seen, now) if wish.counted else None
        return page_of(reading.shown(seen, found, now), wish.limit, counts)
