"""The settings of the product, in the environment of the tests, with what only a test may change."""

from tests import environment

environment.apply()

from config.settings import *  # noqa: E402, F403 - the settings read the environment when they are imported
from config.settings import DATABASES  # noqa: E402 - named, so that type checkers see it

if environment.STACK == "small":
    DATABASES["default"]["TEST"] = {"NAME": str(environment.directory() / "test.sqlite3")}

# A thousandth of the cost of the real one; how passwords are stored has its own test.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
