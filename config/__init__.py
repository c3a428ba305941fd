"""The assembly: settings, ASGI application, URLs. It imports everything and nothing imports it."""
