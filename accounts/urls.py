"""The paths of accounts, to be included at the root."""

from __future__ import annotations

from django.urls import path

from accounts import api

urlpatterns = [
    path("api/auth/register/", api.RegisterView.as_view(), name="register"),
    path("api/auth/logout/", api.LogoutView.as_view(), name="logout"),
    path("api/auth/password/", api.PasswordView.as_view(), name="password"),
    path("api/auth/sessions/", api.SessionsView.as_view(), name="sessions"),
    path("api/auth/sessions/<uuid:session_id>/", api.SessionView.as_view(), name="session"),
    path("api/token/", api.TokenView.as_view(), name="token"),
    path("api/token/refresh/", api.RefreshView.as_view(), name="token-refresh"),
    path("api/me/", api.MeView.as_view(), name="me"),
    path("api/ws-ticket/", api.TicketView.as_view(), name="ws-ticket"),
]
