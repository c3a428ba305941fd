"""Answers about conversations: questions and changes, for REST and the native socket alike.

The functions use the database, and return what becomes JSON. Each counts what it does against the limits of
its user.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from accounts.errors import UnknownUserError
from accounts.models import User
from chat import queries, selectors, services
from chat import serializers as shapes
from chat.limits import allow_invitation, allow_send
from chat.selectors import ListPosition, Membership


def users_named(usernames: Sequence[str]) -> list[User]:
    """The active users of these names, in this order; an UnknownUserError where one is missing."""
    # PostgreSQL refuses a question with U+0000 in it.
    possible = [name for name in usernames if "\0" not in name]
    found = {user.username: user for user in User.objects.filter(username__in=possible, is_active=True)}
    if missing := [name for name in usernames if name not in found]:
        raise UnknownUserError(f"Unknown user: {missing[0]}")
    return [found[name] for name in usernames]


# --- conversations ------------------------------------------------------------------------------------


def conversation(viewer: User, conversation_id: int) -> dict[str, Any]:
    """A conversation as it is now; raises NotAParticipantError if the viewer was removed meanwhile."""
    row = selectors.conversation_of(user_id=viewer.pk, conversation_id=conversation_id)
    return shapes.conversation_row(row, viewer_id=viewer.pk)


def conversations(
    viewer: User, *, position: ListPosition | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of the viewer's conversations, and the cursor of the next one, if there is one."""
    rows, following = selectors.conversations_of(user_id=viewer.pk, position=position, limit=limit)
    shown = [shapes.conversation_row(row, viewer_id=viewer.pk) for row in rows]
    return shown, None if following is None else queries.cursor_text(following)


def open_conversation(
    creator: User, *, participants: Sequence[str], title: str, opens_history: bool
) -> tuple[dict[str, Any], bool]:
    """Open a conversation; returns it, and whether it is new: two users have one direct conversation."""
    allow_invitation(creator.pk)
    opened, is_new = services.open_conversation(
        creator=creator, participants=users_named(participants), title=title, opens_history=opens_history
    )
    return conversation(creator, opened.pk), is_new


def rename(by: User, conversation_id: int, *, title: str) -> dict[str, Any]:
    """Rename a group."""
    allow_send(by.pk)
    services.rename_conversation(conversation_id=conversation_id, by=by, title=title)
    return conversation(by, conversation_id)


# --- messages -----------------------------------------------------------------------------------------


def history(membership: Membership, *, before: int | None, after: int | None, limit: int) -> dict[str, Any]:
    """A page of messages, newest first, with the seqs from which its neighbours are asked for."""
    page = selectors.history(membership, before=before, after=after, limit=limit)
    return {
        "results": [
            shapes.message_row(
                message,
                viewer_id=membership.user_id,
                read_seq=membership.read_seq,
                read_by_others=page.read_by_others,
            )
            for message in page.messages
        ],
        "has_more": page.older_before is not None,
        "older_before": page.older_before,
        "newer_after": page.newer_after,
        "last_seq": membership.head,
        "last_position": str(membership.end),
    }


def edit(by: User, conversation_id: int, message_id: int, *, content: str) -> int:
    """Edit the user's own message; returns the seq of the event."""
    allow_send(by.pk)
    return services.edit_message(
        conversation_id=conversation_id, message_id=message_id, by=by, content=content
    )


def delete(by: User, conversation_id: int, message_id: int) -> int:
    """Delete a message: the user's own, or as a manager any; returns the seq of the event."""
    allow_send(by.pk)
    return services.delete_message(conversation_id=conversation_id, message_id=message_id, by=by)


# --- members ------------------------------------------------------------------------------------------


def members(viewer: User, conversation_id: int) -> Any:
    """The members of one of the viewer's conversations."""
    found = selectors.members_of(user_id=viewer.pk, conversation_id=conversation_id)
    return shapes.member_rows(found, viewer_id=viewer.pk)


def add_members(by: User, conversation_id: int, *, participants: Sequence[str], role: str) -> Any:
    """Add users to a group; returns its members."""
    allow_invitation(by.pk)
    # The viewer's membership is checked first: a stranger must not learn from here which names exist.
    selectors.membership_for(user_id=by.pk, conversation_id=conversation_id)
    added = services.add_members(
        conversation_id=conversation_id, by=by, users=users_named(participants), role=role
    )
    return shapes.member_rows(added, viewer_id=by.pk)


def change_role(by: User, conversation_id: int, user_id: int, *, role: str) -> Any:
    """Give a member another role."""
    allow_send(by.pk)
    member = services.change_role(conversation_id=conversation_id, by=by, user_id=user_id, role=role)
    [row] = shapes.member_rows([member], viewer_id=by.pk)
    return row


def remove_member(by: User, conversation_id: int, user_id: int) -> None:
    """Remove a member, or leave the conversation."""
    allow_send(by.pk)
    services.remove_member(conversation_id=conversation_id, by=by, user_id=user_id)
