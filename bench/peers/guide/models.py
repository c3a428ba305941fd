"""The model of a message, as in a tutorial."""

from django.conf import settings
from django.db import models


class Message(models.Model):
    conversation_id = models.BigIntegerField(db_index=True)
    sender = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True)
    content = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    is_read = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.content
