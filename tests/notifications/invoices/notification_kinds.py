"""The kinds of the app `invoices`."""

from django.utils.translation import gettext_lazy as _

from notifications.kinds import Kind, register

register(
    Kind("invoice_due", title=_("Invoice"), message=_("Invoice %(number)s is due"), data={"number": int})
)
