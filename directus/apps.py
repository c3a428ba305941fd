"""The Django app of the Directus dialect; installed with DIRECTUS_ENABLED."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DirectusConfig(AppConfig):
    name = "directus"
    verbose_name = _("Directus")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from directus import checks, receivers  # noqa: F401 (imported for their effect)
