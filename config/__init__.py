"""The assembly: settings, application, URLs, the two programs. Imports everything; nothing imports it."""
