"""The Django app of the Directus dialect; installed with DIRECTUS_ENABLED."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DirectusConfig(AppConfig):
    name = "directus"
    verbose_name = _("Directus")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from directus import checks, receivers  # noqa: F401 (imported for their effect)
        from directus.first_words import FIRST_WORDS
        from directus.rest.errors import SHAPE
        from realtime import declare_shape

        declare_shape(FIRST_WORDS, SHAPE)
