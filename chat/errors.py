"""The errors of conversations; each docstring is the message that clients see."""

from realtime import CloseCode, InvalidInputError, NotAllowedError, NotFoundError, RealtimeError


class NotAParticipantError(RealtimeError):
    """This conversation does not exist, or you do not take part in it."""

    code, status, close_with = "not_a_participant", 404, CloseCode.NOT_FOUND


class MessageNotFoundError(NotFoundError):
    """This message does not exist, or was deleted."""

    code = "message_not_found"


class NotYourMessageError(NotAllowedError):
    """Only its sender may change a message."""

    code = "not_your_message"


class EmptyMessageError(InvalidInputError):
    """The message is empty."""

    code = "empty_message"


class MessageTooLongError(InvalidInputError):
    """The message is too long."""

    code = "message_too_long"


class TooManyEditsError(InvalidInputError):
    """The message was edited too often."""

    code = "too_many_edits"


class TooManyMembersError(InvalidInputError):
    """A conversation cannot have so many members."""

    code = "too_many_members"


class DirectConversationError(InvalidInputError):
    """A direct conversation keeps its two members and has no title."""

    code = "direct_conversation"
