"""The tables of the log: topics with their heads, and the events that they were told."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from realtime.topics import MAX_TOPIC_LENGTH


class Topic(models.Model):
    """A durable audience. Its row lock is what makes the order of `seq` the order of commits."""

    name = models.CharField(max_length=MAX_TOPIC_LENGTH, unique=True)
    #: The seq of its newest event.
    head = models.BigIntegerField(default=0)
    #: Events up to and including this seq have been pruned.
    floor = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class LoggedEvent(models.Model):
    """An event of a topic, under its seq, stored as the very text that clients are sent."""

    pk = models.CompositePrimaryKey("topic_id", "seq")
    topic = models.ForeignKey(Topic, models.CASCADE, related_name="events", db_index=False)
    seq = models.BigIntegerField()
    body = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        # Retention looks for old events; everything else goes by (topic, seq).
        indexes: ClassVar = [models.Index(fields=["topic", "created_at"], name="realtime_event_age")]

    def __str__(self) -> str:
        return f"{self.topic_id}:{self.seq}"
