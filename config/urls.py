"""Every HTTP path that Django answers; `config/asgi.py` answers /health/… and /metrics before it."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path

from config import extra_apps
from realtime.http import documents, pages

urlpatterns = [
    path("api/", include("accounts.urls")),
    path("api/", include("chat.urls")),
    path("api/", include("notifications.urls")),
    *[path("api/", include(module)) for module in extra_apps.rest_modules()],
    path("api/", documents.IndexView.as_view(), name="index"),
    path("api/schema/", documents.SchemaView.as_view(), name="schema"),
    path("api/docs/", documents.DocsView.as_view(), name="docs"),
    path("api/", include("contract.urls")),
    re_path("^api/", pages.nothing_in_the_api),  # the last of them
    re_path("^ws/", pages.socket_without_upgrade),
    path("admin/", admin.site.urls),
    *([path("", include("directus.urls"))] if settings.DIRECTUS_ENABLED else []),
    path("", include("demo.urls")) if settings.DEMO_ENABLED else path("", pages.home),
]

handler400 = pages.bad_request
handler403 = pages.forbidden
handler404 = pages.not_found
handler500 = pages.server_error
