"""The three kinds of notifications of the guide."""

from django.utils.translation import gettext_lazy as _

from notifications.kinds import Kind, register

register(
    Kind(
        "message_received",
        title=_("New message"),
        message=_("%(sender)s sent a message"),
        data={"conversation_id": int},
        neutral={"sender": _("Someone")},
    )
)
register(
    Kind(
        "payment_completed",
        title=_("Payment confirmed"),
        message=_("Your payment has been processed"),
        data={"payment_id": int},
    )
)
register(
    Kind(
        "listing_published",
        title=_("Listing published"),
        message=_("Your listing is now visible"),
        data={"listing_id": int},
    )
)
