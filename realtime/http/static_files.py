"""Static files: compressed and with a hash in their names once `collectstatic` has run, plain before."""

from __future__ import annotations

from pathlib import Path

from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]  # it has no types
from whitenoise.storage import CompressedManifestStaticFilesStorage  # type: ignore[import-untyped]  # the same


class HashedWhenCollected(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped
    """A storage that serves collected files under a name with a hash, and others under their plain name.

    Django's own raises for a file that was not collected. A fresh clone, or a test, has collected nothing and
    must show the admin all the same.
    """

    def stored_name(self, name: str) -> str:
        """The name under which the file is served."""
        try:
            return str(super().stored_name(name))
        except ValueError:
            return name


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]  # untyped
    """WhiteNoise without its warning about a STATIC_ROOT that does not exist yet."""

    def add_files(self, root: str | Path, prefix: str | None = None) -> None:
        """Serve the files below `root`, where there is one."""
        if Path(root).is_dir():
            super().add_files(root, prefix)
