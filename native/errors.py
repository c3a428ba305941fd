"""The errors of subscriptions; each docstring is the message that clients see."""

from realtime import InvalidInputError, NotFoundError


class UnknownTopicError(NotFoundError):
    """There is no topic with this name."""

    code = "unknown_topic"


class UnknownSubscriptionError(NotFoundError):
    """This socket has no subscription with this id."""

    code = "unknown_subscription"


class IdInUseError(InvalidInputError):
    """This socket already has a subscription with this id."""

    code = "id_in_use"
