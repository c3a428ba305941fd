"""The Django app of changes: it looks for what each app has declared, and has `migrate` install triggers."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.module_loading import autodiscover_modules


class ChangesConfig(AppConfig):
    name = "changes"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from changes import checks, migrating, reader, registry  # noqa: F401 (checks register)
        from realtime import runs_with_hub

        autodiscover_modules("watched")
        pre_migrate.connect(migrating.before, sender=self)
        post_migrate.connect(migrating.after, sender=self)
        if registry.collections():  # else nothing here costs anything
            connection_created.connect(migrating.replaced_rows_are_deleted)
            runs_with_hub(reader.read_changes)
