"""Open sockets whose access is withdrawn close with the right code, and no other sockets do."""

import asyncio
from collections.abc import Collection
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from accounts import services, tokens
from accounts.models import Session, User
from accounts.tickets import sell_ticket
from accounts.tokens import Claims, Identity, identify, identities_of
from realtime.database.batch_loader import BatchLoader
from tests.accounts.forgeries import good, good_claims, sign


@pytest.fixture
def made(transactional_db: None, ana: User, bruno: User) -> dict[str, Any]:
    """Two sessions of Ana's, a token of hers that was made elsewhere, a ticket of the first session, and
    Bruno."""
    pairs = {"first": tokens.issue(ana), "second": tokens.issue(ana), "bruno": tokens.issue(bruno)}
    queries = {name: f"?token={pair['access']}" for name, pair in pairs.items()}
    elsewhere = good_claims(Session(user=ana))
    del elsewhere["sid"]
    queries["elsewhere"] = f"?token={sign(elsewhere)}"
    queries["ticket"] = f"?ticket={sell_ticket(identity=identify(pairs['first']['access']))}"
    return {"pairs": pairs, "queries": queries}


ALL_OF_ANA = {"first", "second", "elsewhere", "ticket"}


def first_session(made):
    return tokens.AccessToken(made["pairs"]["first"]["access"])["sid"]


@pytest.mark.parametrize(
    ("withdraw", "code", "closed"),
    [
        (
            lambda ana, made: services.sign_out(access_token=made["pairs"]["first"]["access"]),
            4401,
            {"first", "ticket"},
        ),
        (lambda ana, made: Session.objects.get(pk=first_session(made)).delete(), 4401, {"first", "ticket"}),
        (lambda ana, made: services.revoke_all(user=ana), 4401, ALL_OF_ANA),
        (lambda ana, made: ana.set_password("x") or ana.save(), 4401, ALL_OF_ANA),
        (lambda ana, made: services.deactivate(user=ana), 4403, ALL_OF_ANA),
        (lambda ana, made: ana.delete(), 4401, ALL_OF_ANA),
        (
            lambda ana, made: services.change_password(
                user=ana, old_password="demo-password", new_password="tr1cky-enough", keep=first_session(made)
            ),
            4401,
            {"second"},
        ),
    ],
)
async def test_withdrawn_access_closes_the_open_sockets_concerned(
    open_with, ana, made, withdraw, code, closed
):
    queries = made["queries"]
    async with (
        open_with(queries["first"]) as first,
        open_with(queries["second"]) as second,
        open_with(queries["elsewhere"]) as elsewhere,
        open_with(queries["ticket"]) as ticket,
        open_with(queries["bruno"]) as bruno,
    ):
        sockets = {"first": first, "second": second, "elsewhere": elsewhere, "ticket": ticket, "bruno": bruno}
        for socket in sockets.values():
            await socket.receive_until("open")

        await sync_to_async(withdraw)(ana, made)

        for name in closed:
            assert await sockets[name].receive_close() == code, name
        untouched = [sockets[name].receives_nothing() for name in sockets.keys() - closed]
        assert all(await asyncio.gather(*untouched))


async def test_revocation_between_handshake_and_joining_is_not_missed(open_with, made, monkeypatch):
    """The token is good when it is checked, and is revoked before the socket listens."""
    from accounts import socket_auth

    def checked_then_revoked(claims: Collection[Claims]) -> Any:
        [identity] = identities_of(claims).values()
        assert isinstance(identity, Identity)
        assert identity.session_id is not None
        services.revoke_session(user=identity.user, session_id=identity.session_id)
        return {next(iter(claims)): identity}

    monkeypatch.setattr(socket_auth, "identity_of", BatchLoader(checked_then_revoked))

    async with open_with(made["queries"]["first"]) as socket:
        assert await socket.receive_close() == 4401


async def test_socket_ends_with_its_token(open_with, session, tokens_age):
    async with open_with(f"?token={good(session)}") as socket:  # valid for an hour
        await socket.receive_until("open")
        tokens_age(3600)
        assert (await socket.receive())["code"] == "token_expired"
        assert await socket.receive_close() == 4401


@pytest.mark.parametrize(
    ("query", "code"),
    [("", "unauthenticated"), ("?token=x", "unauthenticated"), ("?ticket=x", "unauthenticated")],
)
async def test_stranger_is_told_why(open_with, query, code):
    async with open_with(query) as socket:
        assert (await socket.receive())["code"] == code
        assert await socket.receive_close() == 4401
