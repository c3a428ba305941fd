"""Errors of the Supabase dialect, and the reasons by which its clients know them: `Code: text for people`."""

from __future__ import annotations

from realtime import (
    AccountDisabledError,
    NotAllowedError,
    OverloadedError,
    RateLimitedError,
    RealtimeError,
    SessionRevokedError,
    TokenExpiredError,
    UnauthenticatedError,
    UnavailableError,
)


class ChannelError(RealtimeError):
    """A channel cannot be joined, or cannot do this."""

    code, status = "channel_refused", 400
    #: How clients know it.
    reason = "Refused"


class TopicNameRequiredError(ChannelError):
    """The name of a channel is empty."""

    reason = "TopicNameRequired"


class TooManyChannelsError(ChannelError, RateLimitedError):
    """Too many channels on this socket."""

    code, status = RateLimitedError.code, RateLimitedError.status
    reason = "ChannelRateLimitReached"


class NotYoursError(ChannelError, NotAllowedError):
    """You do not have permissions to read from this Channel topic."""

    code, status = NotAllowedError.code, NotAllowedError.status
    reason = "Unauthorized"


class ReplayError(ChannelError):
    """Messages cannot be sent again with these parameters."""

    reason = "UnableToReplayMessages"


class SubscriptionError(ChannelError):
    """A subscription to changes is not valid."""

    reason = "RealtimeDisabledForConfiguration"


_REASONS: dict[type[RealtimeError], str] = {
    TokenExpiredError: "InvalidJWTToken: Token has expired",
    SessionRevokedError: "InvalidJWTToken: The session has ended",
    AccountDisabledError: "InvalidJWTToken: The account is disabled",
    UnauthenticatedError: "MalformedJWT: The token provided is not a valid JWT",
    OverloadedError: "ConnectionRateLimitReached: Too many connected users",
    RateLimitedError: "ClientJoinRateLimitReached: Too many joins per second",
    UnavailableError: "RealtimeRestarting: The server is not ready, try again",
}


def reason_of(error: RealtimeError) -> str:
    """The reason that clients are given for an error."""
    if isinstance(error, ChannelError):
        return f"{error.reason}: {error.message}"
    for kind in type(error).__mro__:
        if kind in _REASONS:
            return _REASONS[kind]
    return f"{type(error).__name__.removesuffix('Error')}: {error.message}"
