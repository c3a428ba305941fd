"""Pages that belong to no app: the front page without the demo, and the errors that no REST view has handled.

Where clients of an API read an error it has their shape (`shapes.py`); elsewhere it is Django's plain page.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect, JsonResponse
from django.urls import resolve
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from realtime.errors import InvalidInputError, NotAllowedError, NotFoundError, RealtimeError
from realtime.http.problems import PROBLEM_JSON, problem_of
from realtime.http.shapes import shape_of


def home(_request: HttpRequest) -> JsonResponse:
    """The front page of a server without the demo: the addresses to start from."""
    return JsonResponse(
        {"name": "Relais", "docs": "/api/docs/", "schema": "/api/schema/", "health": "/health/ready"}
    )


@csrf_exempt
def nothing_in_the_api(request: HttpRequest) -> HttpResponse:
    """Answer 404 to an unknown path below /api/, in JSON even with `DEBUG`, where Django would show a page.

    Where only the last slash is missing, the answer names the right path. A redirect would lose the body of a
    POST, so only reads are redirected.
    """
    right = f"{request.path_info}/"
    if request.path_info.endswith("/") or resolve(right).func is nothing_in_the_api:
        return _problem(NotFoundError("There is nothing here; /api/ lists what there is."))
    if request.method in ("GET", "HEAD"):
        return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
    return _problem(NotFoundError(f"There is nothing here; did you mean {right}, with a slash at its end?"))


@csrf_exempt
def socket_without_upgrade(_request: HttpRequest) -> HttpResponse:
    """Answer 404 to plain HTTP below /ws/: somebody opened the address in a browser, or with `curl`."""
    return _problem(
        NotFoundError("Sockets are below /ws/: connect with a WebSocket client, to ws:// or wss://.")
    )


def unknown_host(request: HttpRequest) -> HttpResponse:
    """Answer 400 to a Host header that ALLOWED_HOSTS does not list."""
    detail = (
        "This server is not known by the name in the Host header; the setting ALLOWED_HOSTS lists its names."
    )
    return _told(request, InvalidInputError(detail)) or HttpResponse(
        detail, status=400, content_type="text/plain; charset=utf-8"
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400 to a request that Django could not read: too many fields, or a body too large."""
    error = InvalidInputError("The request is not valid.")
    return _told(request, error) or defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403 for an error outside of REST views."""
    error = NotAllowedError("You may not do this.")
    return _told(request, error) or defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404 for an error outside of REST views."""
    error = NotFoundError("There is nothing here.")
    return _told(request, error) or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500; the log has the traceback."""
    error = RealtimeError("Something went wrong on our side.")
    return _told(request, error) or defaults.server_error(request)


def _told(request: HttpRequest, error: RealtimeError) -> HttpResponse | None:
    """The error as the clients of this path read it; None where they read pages."""
    shape = shape_of(request.path)
    if shape is None:
        return None
    status, body = shape.told(error)
    return JsonResponse(body, status=status, content_type=shape.media_type)


def _problem(error: RealtimeError) -> JsonResponse:
    return JsonResponse(problem_of(error), status=error.status, content_type=PROBLEM_JSON)
