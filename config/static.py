"""Static files: hashed and compressed once `collectstatic` has run, plain before."""

from pathlib import Path

from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]  # it has no types
from whitenoise.storage import CompressedManifestStaticFilesStorage  # type: ignore[import-untyped]  # the same


class HashedWhenCollected(CompressedManifestStaticFilesStorage):
    """Names with a hash for what was collected, plain names for the rest.

    Django's own refuses a page that names a file it has not collected. A clone that was just
    migrated, or a test, has collected nothing and must serve the admin all the same.
    """

    def stored_name(self, name: str) -> str:
        """The name under which the file is served."""
        try:
            return str(super().stored_name(name))
        except ValueError:
            return name


class StaticFiles(WhiteNoiseMiddleware):
    """WhiteNoise, content with a STATIC_ROOT that does not exist yet."""

    def add_files(self, root: str | Path, prefix: str | None = None) -> None:
        """Serve what is below `root`."""
        if Path(root).is_dir():
            super().add_files(root, prefix)
