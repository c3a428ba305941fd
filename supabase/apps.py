"""The Django app of the Supabase dialect."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class SupabaseConfig(AppConfig):
    name = "supabase"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        autodiscover_modules("channels")
