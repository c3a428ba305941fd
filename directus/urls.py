"""The URL paths of the dialect. They lie at the root, where its clients look for them.

A path works with a slash at its end and without, and is never redirected: a redirect would lose a body.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.urls import URLPattern, path, register_converter

from directus.first_words import FIRST_WORDS
from directus.rest import auth, me, server
from directus.rest.views import DirectusView, no_such_route


class FirstWordConverter:
    """One of the first words of the dialect's paths."""

    regex = "|".join(FIRST_WORDS)

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(FirstWordConverter, "directus")


def _route(route: str, view: type[DirectusView]) -> Iterator[URLPattern]:
    answers = view.as_view()
    yield path(route, answers)
    yield path(f"{route}/", answers)


urlpatterns = [
    *_route("auth", auth.ProvidersView),
    *_route("auth/login", auth.LoginView),
    *_route("auth/refresh", auth.RefreshView),
    *_route("auth/logout", auth.LogoutView),
    *_route("auth/password/request", auth.PasswordRequestView),
    *_route("auth/password/reset", auth.PasswordResetView),
    *_route("server/ping", server.PingView),
    *_route("server/health", server.HealthView),
    *_route("server/info", server.InfoView),
    *_route("users/me", me.MeView),
    # The last of them: whatever else has one of these first words.
    path("<directus:first_word>", no_such_route),
    path("<directus:first_word>/", no_such_route),
    path("<directus:first_word>/<path:rest>", no_such_route),
]
