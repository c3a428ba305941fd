"""The errors of subscriptions; each docstring is the message that clients see."""

from realtime import InvalidInputError, NotFoundError


class UnknownTopicError(NotFoundError):
    """There is no topic of this name to subscribe to."""

    code = "unknown_topic"


class UnknownSubscriptionError(NotFoundError):
    """This socket has no subscription of this id."""

    code = "unknown_subscription"


class IdInUseError(InvalidInputError):
    """This socket has a subscription of this id already."""

    code = "id_in_use"
