"""Forged tokens, made by hand without a library: a good token, and every wrong one we know."""

import base64
import hmac
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings

from accounts.models import Session

OTHER_KEY = "another-key-that-is-also-long-enough-for-hs256"
PEM = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL\n-----END PUBLIC KEY-----\n"

HEADER = {"alg": "HS256", "typ": "JWT"}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def as_json(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def sign(claims: Any, *, header: Any = HEADER, key: str | bytes | None = None, digest: str = "sha256") -> str:
    """A compact JWS of the given header and claims."""
    secret = settings.SECRET_KEY if key is None else key
    text = f"{b64(as_json(header))}.{b64(as_json(claims))}"
    signature = hmac.new(
        secret if isinstance(secret, bytes) else secret.encode(), text.encode(), digest
    ).digest()
    return f"{text}.{b64(signature)}"


def good_claims(session: Session) -> dict[str, Any]:
    """What `identify` accepts; each forgery differs from it in one thing."""
    now = int(time.time())
    return {
        "token_type": "access",
        "user_id": str(session.user_id),
        "sid": str(session.pk),
        "jti": uuid.uuid4().hex,
        "iat": now,
        "exp": now + 3600,
    }


def good(session: Session) -> str:
    return sign(good_claims(session))


Forger = Callable[[Session], str]


def claiming(**changes: Any) -> Forger:
    """Forge a well-signed token with some claims changed."""
    return lambda session: sign({**good_claims(session), **changes})


def without(*names: str) -> Forger:
    """Forge a well-signed token with some claims missing."""
    return lambda session: sign({k: v for k, v in good_claims(session).items() if k not in names})


def headed(header: Any, *, key: str | bytes | None = None, digest: str = "sha256") -> Forger:
    """Forge a token with good claims and another header."""
    return lambda session: sign(good_claims(session), header=header, key=key, digest=digest)


def unsigned(alg: Any) -> Forger:
    def forge(session: Session) -> str:
        return f"{b64(as_json({'alg': alg, 'typ': 'JWT'}))}.{b64(as_json(good_claims(session)))}."

    return forge


def signed_as_if(alg: str) -> Forger:
    """Forge a token that names this algorithm and is signed by HMAC-SHA256 with the right key."""
    return headed({"alg": alg, "typ": "JWT"})


def reshaped(change: Callable[[str], str]) -> Forger:
    """Forge a token by changing the text of a good one."""
    return lambda session: change(good(session))


def _swap_user(token: str) -> str:
    """Another user's id under the old signature."""
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{b64(as_json({**claims, 'user_id': str(int(claims['user_id']) + 1)}))}.{signature}"


def _ago(seconds: int) -> int:
    return int(time.time()) - seconds


JWK = {"kty": "oct", "k": b64(OTHER_KEY.encode())}

FORGERIES: dict[str, Forger] = {
    # the algorithm is ours to choose
    **{
        f"alg {alg!r} unsigned": unsigned(alg)
        for alg in ("none", "None", "nOnE", "NONE", "", None, "HS256", [], {}, 5)
    },
    "alg missing": headed({"typ": "JWT"}),
    "alg none, yet signed": signed_as_if("none"),
    "alg lower case": signed_as_if("hs256"),
    "alg a list": headed({"alg": ["HS256"], "typ": "JWT"}),
    "RS256 over our HMAC": signed_as_if("RS256"),
    "ES256 over our HMAC": signed_as_if("ES256"),
    "PS256 over our HMAC": signed_as_if("PS256"),
    "HS256 keyed with a public key": headed(HEADER, key=PEM),
    "RS256 keyed with a public key": headed({"alg": "RS256", "typ": "JWT"}, key=PEM),
    "HS384 with our key": headed({"alg": "HS384", "typ": "JWT"}, digest="sha384"),
    "HS512 with our key": headed({"alg": "HS512", "typ": "JWT"}, digest="sha512"),
    "another key": headed(HEADER, key=OTHER_KEY),
    "empty key": headed(HEADER, key=b""),
    "zero key": headed(HEADER, key=b"\0" * 32),
    # no header member points to a key or a rule
    "kid a path, signed with nothing": headed({**HEADER, "kid": "../../../../dev/null"}, key=b""),
    "kid a path, with our key": headed({**HEADER, "kid": "../../../../dev/null"}),
    "kid an injection": headed({**HEADER, "kid": "x' UNION SELECT 'secret"}, key="secret"),
    "kid a number": headed({**HEADER, "kid": 7}),
    "jku": headed({**HEADER, "jku": "http://169.254.169.254/jwks.json"}, key=OTHER_KEY),
    "jku, with our key": headed({**HEADER, "jku": "http://169.254.169.254/jwks.json"}),
    "jwk with its own key": headed({**HEADER, "jwk": JWK}, key=OTHER_KEY),
    "jwk, with our key": headed({**HEADER, "jwk": JWK}),
    "x5u": headed({**HEADER, "x5u": "http://attacker.example/cert.pem"}),
    "x5c": headed({**HEADER, "x5c": ["MIIB"]}),
    "crit unknown": headed({**HEADER, "crit": ["exp"], "exp": 1}),
    "crit empty": headed({**HEADER, "crit": []}),
    "b64 false": headed({**HEADER, "b64": False, "crit": ["b64"]}),
    "zip": headed({**HEADER, "zip": "DEF"}),
    "typ of something else": headed({"alg": "HS256", "typ": "secevent+jwt"}),
    "header a list": headed(["HS256"]),
    "header no JSON": headed(b"HS256"),
    "header nested": headed(b"[" * 1500),
    # the kind
    **{
        f"type {kind!r}": claiming(token_type=kind)
        for kind in ("refresh", "anon", "sliding", "untyped", "Access", "", None, 1, ["access"], {})
    },
    "type missing": without("token_type"),
    # the times
    "exp missing": without("exp"),
    **{
        f"exp {exp!r}": claiming(exp=exp)
        for exp in (None, "9999999999", [], {}, 10**400, 253_402_300_800, float("inf"), float("nan"))
    },
    "nbf in the future": claiming(nbf=_ago(-3600)),
    "nbf a text": claiming(nbf="soon"),
    "iat in the future": claiming(iat=_ago(-3600)),
    "iat a list": claiming(iat=[]),
    "iat infinite": claiming(iat=float("inf")),
    # the person
    "user missing": without("user_id"),
    "user missing, no session": without("user_id", "sid"),
    **{
        f"user {user!r}": claiming(user_id=user)
        for user in (
            None,
            True,
            1.0,
            "",
            "0",
            0,
            -1,
            "-1",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "0x1",
            "١",
            "²",
            "1_0",
            "ana",
            2**63,
            10**30,
            "9" * 20,
            "9" * 1000,
            [],
            [1],
            {},
            {"id": 1},
            "1 OR 1=1",
            "\0",
            "\ud800",
        )
    },
    "user of somebody else": lambda session: sign({**good_claims(session), "user_id": session.user_id + 1}),
    "user unknown, no session": lambda session: sign(
        {k: v for k, v in good_claims(session).items() if k != "sid"} | {"user_id": 2**62}
    ),
    "user swapped under the signature": reshaped(_swap_user),
    # the session
    **{
        f"sid {sid!r}": claiming(sid=sid)
        for sid in (
            None,
            "",
            0,
            1,
            True,
            [],
            {},
            "abc",
            "0" * 32,
            "\ud800",
            "9" * 500,
            "{" + str(uuid.UUID(int=1)) + "}",
        )
    },
    "sid in capitals": lambda session: sign(
        {**good_claims(session), "sid": "ABCDEF00-0000-4000-8000-00000000000A"}
    ),
    # the rest of the claims
    "jti missing": without("jti"),
    **{f"jti {jti!r}": claiming(jti=jti) for jti in (None, "", 7, [], "j" * 300)},
    "aud": claiming(aud="another-service"),
    "iss": claiming(iss="https://issuer.example"),
    "claims a list": lambda session: sign([good_claims(session)]),
    "claims no JSON": lambda session: sign(b"access"),
    "claims nested": lambda session: sign(b'{"a":' * 500),
    "claims not UTF-8": lambda session: sign(b'{"token_type":"\xff"}'),
    "claims with a number of 4,000 digits": lambda session: sign(b'{"exp":' + b"9" * 2500 + b"}"),
    "claims empty": lambda session: sign({}),
    # the text
    "empty": lambda session: "",
    "dots": lambda session: "..",
    "a word": lambda session: "token",
    "null": lambda session: "null",
    "undefined": lambda session: "undefined",
    "two parts": reshaped(lambda token: token.rpartition(".")[0]),
    "four parts": reshaped(lambda token: token + ".x"),
    "doubled dots": reshaped(lambda token: token.replace(".", "..")),
    "truncated": reshaped(lambda token: token[:-4]),
    "signature empty": reshaped(lambda token: token.rpartition(".")[0] + "."),
    "padded": reshaped(lambda token: token + "="),
    "white space inside": reshaped(lambda token: token.replace(".", ". ")),
    "newline at the end": reshaped(lambda token: token + "\n."),
    "NUL inside": reshaped(lambda token: token.replace(".", "\0.")),
    "unicode": reshaped(lambda token: token + "é"),
    "lone surrogate": lambda session: "\ud800.\ud800.\ud800",
    "two tokens": reshaped(lambda token: f"{token},{token}"),
    "quoted": reshaped(lambda token: f'"{token}"'),
    "16 KiB": lambda session: sign({**good_claims(session), "x": "x" * 12_000}),
    "16 KiB of dots": lambda session: "." * 16_384,
}
