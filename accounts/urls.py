"""The URL paths of accounts, below /api/."""

from __future__ import annotations

from django.urls import path

from accounts import api

urlpatterns = [
    path("auth/register/", api.RegisterView.as_view(), name="register"),
    path("auth/logout/", api.LogoutView.as_view(), name="logout"),
    path("auth/password/", api.PasswordView.as_view(), name="password"),
    path("auth/sessions/", api.SessionsView.as_view(), name="sessions"),
    path("auth/sessions/<uuid:session_id>/", api.SessionView.as_view(), name="session"),
    path("token/", api.TokenView.as_view(), name="token"),
    path("token/refresh/", api.RefreshView.as_view(), name="token-refresh"),
    path("me/", api.MeView.as_view(), name="me"),
    path("ws-ticket/", api.TicketView.as_view(), name="ws-ticket"),
]
