"""The guide's settings, completed as in a first project."""

import os

SECRET_KEY = "only-for-benchmarks-nothing-is-signed-with-it"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "daphne",
    "channels",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "bench.peers.guide.apps.GuideChat",
]
ASGI_APPLICATION = "bench.peers.guide.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["GUIDE_DATABASE"]}}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [os.environ["GUIDE_REDIS"]], "capacity": 1500, "expiry": 10},
    },
}
