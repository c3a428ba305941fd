"""The tables of the demo, whose rows clients follow: those of the guides' pages, and some to try things."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone


class Article(models.Model):
    """An article, of which drafts are nobody's business."""

    title = models.CharField(max_length=200)
    status = models.CharField(max_length=20, default="draft")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)

    def __str__(self) -> str:
        return self.title


class Post(models.Model):
    """A post of the Nuxt guide's page."""

    title = models.CharField(max_length=200)
    content = models.TextField(blank=True, default="")
    status = models.CharField(max_length=20, default="published")

    def __str__(self) -> str:
        return self.title


class Comment(models.Model):
    """A comment on a post."""

    post = models.ForeignKey(Post, models.CASCADE, null=True, blank=True)
    content = models.TextField()

    def __str__(self) -> str:
        return self.content


class Product(models.Model):
    """A product of the Dart guide."""

    name = models.CharField(max_length=200)
    price = models.DecimalField(max_digits=10, decimal_places=2, default=0)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """An order of the Dart guide."""

    customer_name = models.CharField(max_length=200)
    status = models.CharField(max_length=20, default="pending")
    total = models.DecimalField(max_digits=10, decimal_places=2, default=0)

    def __str__(self) -> str:
        return self.customer_name


class WallMessage(models.Model):
    """A message on a wall that every user reads and writes; conversations are in `chat`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    content = models.TextField(null=True, blank=True)  # noqa: DJ001 - its clients leave out what they like
    user_id = models.TextField(null=True, blank=True)  # noqa: DJ001 - the same
    timestamp = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.content or ""


class Mood(models.Model):
    """How somebody of the Supabase course feels."""

    nom = models.TextField()
    emoji = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.nom} {self.emoji}"
