"""Our settings with their defaults and units; `settings.RELAIS` overrides them by name.

Only `config/settings.py` reads the environment; this module lists the settings that the core understands.
"""

from __future__ import annotations

from django.conf import settings
from django.core.signals import setting_changed

from realtime.rates import Rate


class Conf:
    """The settings: defaults, which `read` replaces by the project's values once Django is set up."""

    #: JSON nested deeper than this is refused: nothing we understand is deeper than 4.
    max_depth: int = 32

    #: Seconds one write may wait for the peer before it is closed with 4408.
    write_timeout_seconds: float = 10
    #: Seconds within which a head check finds an event whose bell was lost.
    head_check_seconds: float = 5
    #: Topics whose heads are read by one query.
    head_check_batch: int = 500
    #: Events read from the log at a time by a socket that catches up.
    replay_page: int = 500
    #: Threads, and so database connections, that serve the sockets of one process.
    database_threads: int = 8
    #: Groups of the channel layer that the bells are spread over, by a hash of the topic.
    bell_shards: int = 1

    #: A message on the guide's and native sockets; larger ones close the socket with 1009.
    limit_message_bytes: int = 128 * 1024
    #: A message on the sockets of foreign dialects, whose clients send whole rows.
    limit_foreign_message_bytes: int = 1024 * 1024
    #: A body of any request, REST and the admin alike: a message of the largest kind.
    limit_body_bytes: int = 1024 * 1024
    #: Bytes of the head of a request, a handshake's too: as much as nginx accepts unchanged.
    limit_head_bytes: int = 32 * 1024
    #: Characters of a message: 8,000 are two pages of text, and at most 32 KiB of UTF-8.
    limit_content: int = 8_000
    #: Bytes that may wait for one socket: half for what the log has as well, the rest for answers.
    limit_outbox_bytes: int = 256 * 1024
    #: Seconds of silence before a socket is pinged. Proxies cut idle connections after 55 to 60 s.
    limit_ping_seconds: float = 25
    #: Seconds a peer has to answer before it counts as gone.
    limit_pong_seconds: float = 10
    #: Seconds from a connection, or from the first byte of a request, to the end of the request's head:
    #: no honest client takes longer for a kilobyte, and each connection holds a descriptor meanwhile.
    limit_head_seconds: float = 5
    #: Seconds from the end of a head to the end of the body: 1 MiB from a phone at 20 KB/s.
    limit_body_seconds: float = 60
    #: Seconds in which a peer must take at least 48 KiB of an answer that waits for it, or the rest of it.
    limit_answer_seconds: float = 30
    #: Seconds from the beginning of a message to its end; a phone in a train carries 128 KiB in less.
    limit_unfinished_seconds: float = 30
    #: Unusable frames that a socket may send before it is closed with 4400.
    limit_mistakes: Rate = Rate.parse("20/min:20")
    #: Frames per socket.
    limit_frames: Rate = Rate.parse("50/s:200")
    #: Pings and pongs per socket: a client that pings every few seconds stays far below.
    limit_control_frames: Rate = Rate.parse("20/s:200")
    #: Fragments below 1 KiB per socket; the burst is one message of MAX_FRAGMENTS.
    limit_fragments: Rate = Rate.parse("200/s:20000")
    #: Messages per user.
    limit_sends: Rate = Rate.parse("10/s:30")
    limit_invitations: Rate = Rate.parse("30/min:60")
    #: Delivered and read cursors written per user; each is sent to all members of a conversation. The cursors
    #: of one conversation are written ten times a second at most; an app that opens reports a hundred at
    #: once.
    limit_cursors: Rate = Rate.parse("10/s:100")
    #: Typing frames per socket; the excess is dropped without an answer, so it may be low.
    limit_typing: Rate = Rate.parse("5/s:20")
    #: Open sockets per user in one process; 0 is no limit.
    limit_sockets_per_user: int = 20
    #: Open sockets in one process; 0 is no limit, as below.
    limit_sockets: int = 10_000
    #: Open sockets per client address in one process; an office behind one address has many.
    limit_sockets_per_address: int = 1_000
    #: Sockets whose handshake is not answered yet, in one process: they pile up while the database hangs.
    limit_pending_sockets: int = 500
    #: HTTP connections in one process that are not sockets. Each may hold a head and a small body: 64 KiB.
    limit_connections: int = 2_000
    #: The same per peer, trusted proxies aside: an office, whose browsers hold six each while a page loads.
    limit_connections_per_address: int = 200
    #: New sockets per client address.
    limit_handshakes: Rate = Rate.parse("50/s:200")
    #: REST requests per user (per address where nobody is signed in).
    limit_rest: Rate = Rate.parse("50/s:200")
    #: Sign-in attempts per address and account, by whichever of its names.
    limit_logins: Rate = Rate.parse("10/min:10")
    #: Sign-in attempts per address, whatever the names: an office behind one address has many.
    limit_logins_per_address: Rate = Rate.parse("60/min:60")
    #: Sign-in attempts per account, from addresses that it never signed in from: who has many addresses has
    #: 1,440 guesses a day at one password.
    limit_logins_per_account: Rate = Rate.parse("60/h:100")
    #: New accounts, and new e-mails of old ones, per address.
    limit_registrations: Rate = Rate.parse("10/min:20")
    #: Requests without a credential that wait for their turn in one process, without a thread.
    limit_strangers_waiting: int = 256
    #: The same per address: an office behind one, where thirty browsers open a page on six connections each.
    limit_strangers_waiting_per_address: int = 200
    #: Seconds that one may wait.
    limit_stranger_seconds: float = 10
    #: Requests that wait for their turn to hash a password, in one process: each is a thread.
    limit_passwords_waiting: int = 64
    #: The same per address; a whole office behind one address signs in at nine.
    limit_passwords_waiting_per_address: int = 32
    #: Seconds that one may wait.
    limit_password_seconds: float = 5

    #: Origins a browser may come from, besides the host it talks to.
    allowed_origins: tuple[str, ...] = ()
    #: Patterns of further origins; only with DEBUG, for pages that other programs of the machine serve.
    allowed_origin_patterns: tuple[str, ...] = ()
    #: Networks whose X-Forwarded-For and X-Forwarded-Proto are believed.
    trusted_proxies: tuple[str, ...] = ()
    #: Keys that let other services post notifications.
    service_api_keys: tuple[str, ...] = ()

    #: The token that a scraper shows at /metrics; empty: only the machine itself may ask.
    metrics_token: str = ""
    #: The directory where the workers of one service put their numbers together; empty: there is one process.
    metrics_directory: str = ""

    #: How long the log keeps events, by the beginning of the topic's name: (days, events). None keeps all.
    log_retention: dict[str, tuple[int | None, int | None]] = {
        "user.": (30, 10_000),
        # Whole rows, and for whoever was away only: older ones are in the table itself.
        "collection.": (7, 10_000),
    }

    def read(self) -> None:
        """Take the values that the project sets, and the defaults of all other settings."""
        given = getattr(settings, "RELAIS", {})
        values = {known: given.get(known, getattr(Conf, known)) for known in Conf.__annotations__}
        for known, value in values.items():
            if isinstance(getattr(Conf, known), Rate) and isinstance(value, str):
                values[known] = Rate.parse(value)
        self.__dict__.update(values)


conf = Conf()


def _settings_changed(*, setting: str, **_: object) -> None:
    if setting == "RELAIS":
        conf.read()


setting_changed.connect(_settings_changed, dispatch_uid="realtime.defaults")
