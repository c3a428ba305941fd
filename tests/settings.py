"""The settings of the product, in the environment of the tests, with changes that only tests may make."""

from tests import environment

environment.apply()

from config.settings import *  # noqa: E402, F403 - the settings read the environment when they are imported
from config.settings import DATABASES  # noqa: E402 - named, so that type checkers see it

if environment.STACK == "small":
    sqlite = DATABASES["default"]
    sqlite["TEST"] = {"NAME": str(environment.directory() / "test.sqlite3")}
    # A crash of the machine may lose data, and no test makes one, so a commit does not wait for the disk.
    # Servers that tests start run with the product's own settings, and do wait.
    sqlite["OPTIONS"]["init_command"] += "; PRAGMA synchronous=OFF"

# This hash costs a thousandth of the real one; how passwords are stored has its own test.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Looked up when they are asked for: each test's client builds the middleware anew, which would read all
# files.
WHITENOISE_AUTOREFRESH = True
