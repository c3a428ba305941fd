"""The Django app of accounts."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Each registers something by being imported: signals, reactions of sockets, the OpenAPI scheme.
        from rest_framework_simplejwt import state

        from accounts import keys, reactions, receivers, schema  # noqa: F401 (imported for their effect)

        # simplejwt's own token classes (another app may use them) verify by the same rules as ours.
        state.token_backend = keys.key_ring
