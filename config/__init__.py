"""The assembly: settings, ASGI application, URLs and server programs; no package imports it."""
