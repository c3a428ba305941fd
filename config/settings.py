"""Django's settings: one file for every machine; the environment holds what differs.

Each variable is explained in `docs/settings.md` and `.env.example`. The core's settings and their defaults
are in `realtime/defaults.py`.
"""

from datetime import timedelta
from pathlib import Path

from config import logs, openapi
from config.env import Environment
from realtime.bells.url import channel_layers
from realtime.database.url import database

BASE_DIR = Path(__file__).resolve().parent.parent

env = Environment.load(BASE_DIR)

# --- The kind of run ---------------------------------------------------------------------------------

DEBUG = env.flag("DEBUG")
DEMO_ENABLED = env.flag("DEMO_ENABLED")
DIRECTUS_ENABLED = env.flag("DIRECTUS_ENABLED")
SUPABASE_ENABLED = env.flag("SUPABASE_ENABLED")
# The password of the demo's administrator. Everybody knows the default; `scripts/dev` writes a secret one.
DEMO_ADMIN_PASSWORD = env.text("DEMO_ADMIN_PASSWORD", "admin-password-1")
SECRET_KEY = env.secret_key("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.keys("SECRET_KEY_FALLBACKS")

# --- Addresses ---------------------------------------------------------------------------------------

# Render and Railway tell a service its public name, the only one by which it is reached there.
PLATFORM_HOSTS = [
    name for name in (env.text("RENDER_EXTERNAL_HOSTNAME"), env.text("RAILWAY_PUBLIC_DOMAIN")) if name
]
LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

ALLOWED_HOSTS = (
    env.hosts("ALLOWED_HOSTS", () if PLATFORM_HOSTS else LOCAL_HOSTS, wildcard=DEBUG) + PLATFORM_HOSTS
)
# The proxies of both speak TLS to browsers and plain HTTP to this server: without the full origin here, "the
# same origin" would depend on headers that are believed only from TRUSTED_PROXIES.
ALLOWED_ORIGINS = env.origins("ALLOWED_ORIGINS", wildcard=DEBUG) + [
    f"https://{name}" for name in PLATFORM_HOSTS
]
# In development, pages are served by another program on another port of this machine.
LOCAL_ORIGINS = [r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?\Z"] if DEBUG else []
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES", everyone=DEBUG)

# For `scripts/serve` and `scripts/dev`, which start the server. Read here, so that a wrong value stops the
# start.
SERVER = env.choice("SERVER", "daphne", ("daphne", "uvicorn"))
WORKERS = env.integer("WORKERS", 1, maximum=256)
HOST = env.text("HOST", "0.0.0.0")  # noqa: S104 - the contract; a container is reached from outside
PORT = env.integer("PORT", 8000, maximum=65535)

# --- Django ------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "daphne",  # first: it replaces `runserver`
    "channels",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "django_structlog",
    "realtime",
    "doctor",
    "contract",
    "native",
    "accounts",
    "changes",
    "presence",
    "notifications",
    "chat",
    "typing_indicator",
]
# Apps of others, found on PYTHONPATH: this file need not be edited for them.
EXTRA_APPS = env.packages("EXTRA_APPS", taken=INSTALLED_APPS)
INSTALLED_APPS += EXTRA_APPS
if DIRECTUS_ENABLED:
    INSTALLED_APPS.append("directus")
if SUPABASE_ENABLED:
    INSTALLED_APPS.append("supabase")
if DEMO_ENABLED:
    INSTALLED_APPS.append("demo")

MIDDLEWARE = [
    "accounts.middleware.CountsCpu",  # first
    "django.middleware.security.SecurityMiddleware",
    "realtime.http.static_files.StaticFiles",
    "django_structlog.middlewares.RequestMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "realtime.http.middleware.ReadableRequests",  # before all code that asks for the host or a cookie
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "accounts.middleware.PasswordTurns",
    "realtime.http.middleware.OneThread",  # last
]

ROOT_URLCONF = "config.urls"
ROOT_WS_ROUTING = "config.ws_routing"  # what `contract` describes
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

LANGUAGE_CODE = env.choice("LANGUAGE_CODE", "en", ("en", "fr"))
LANGUAGES = [("en", "English"), ("fr", "Français")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"  # the wire is in UTC; a page converts to the reader's time

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The servers refuse larger bodies before they arrive here (`realtime/servers/`), and Django does where
# another server runs. An allowed body stays in memory: none is written to a disk that may be full or slow.
LIMIT_BODY_BYTES = env.integer("LIMIT_BODY_BYTES", 1_048_576, minimum=16_384, maximum=16_777_216)
DATA_UPLOAD_MAX_MEMORY_SIZE = LIMIT_BODY_BYTES
FILE_UPLOAD_MAX_MEMORY_SIZE = LIMIT_BODY_BYTES

# --- Database, channel layer, cache ------------------------------------------------------------------

# 8 connections are for the sockets of a process (`realtime/defaults.py`, database_threads), the rest for
# HTTP. PostgreSQL allows 100 by default: four workers of 20, and room for commands and for repairs.
DB_POOL = env.integer("DB_POOL", 20, minimum=10, maximum=1000)
DATABASES = {
    "default": env.read(
        "DATABASE_URL",
        database("sqlite:///db.sqlite3", directory=BASE_DIR, pool_size=DB_POOL),
        lambda url: database(url, directory=BASE_DIR, pool_size=DB_POOL),
        "sqlite:///file or postgres://user:password@host/name",
    )
}

_REDIS = "redis://host:6379/0, or several separated by commas"
# Directus has another name for the same, which its guides put into a `.env`.
_BROKER = env.read(
    "WEBSOCKETS_BROKER_URL", channel_layers([]), lambda urls: channel_layers(urls.split(",")), _REDIS
)
CHANNEL_LAYERS = env.read(
    "REDIS_URL",
    _BROKER if DIRECTUS_ENABLED else channel_layers([]),
    lambda urls: channel_layers(urls.split(",")),
    _REDIS,
)
env.require(
    "WORKERS",
    WORKERS == 1 or "hosts" in CHANNEL_LAYERS["default"].get("CONFIG", {}),
    "1, or a REDIS_URL: without Redis the workers would not hear each other",
)

# A cache entry may be lost, or differ between processes; nothing here needs more.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- Authentication ----------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = [
    "accounts.hashing.Argon2Hasher",
    "accounts.hashing.PBKDF2Hasher",  # for users created by an older Django
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=env.duration("ACCESS_TOKEN_TTL", 3600, maximum=31_536_000)),
    "REFRESH_TOKEN_LIFETIME": timedelta(
        seconds=env.duration("REFRESH_TOKEN_TTL", 604_800, maximum=31_536_000)
    ),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "ALGORITHM": "HS256",  # fixed here, never taken from a token (RFC 8725 §3.1)
    "SIGNING_KEY": SECRET_KEY,
    "UPDATE_LAST_LOGIN": False,  # otherwise each sign-in would write to the user's row
    "AUTH_HEADER_TYPES": ("Bearer",),
}

# Seconds: of a session token, which a browser keeps in a cookie and trades for the next one.
SESSION_COOKIE_TTL = env.duration("SESSION_COOKIE_TTL", 86_400, maximum=31_536_000)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["realtime.http.parsers.JsonParser"],
    "DEFAULT_THROTTLE_CLASSES": ["realtime.http.throttling.RestThrottle"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "realtime.http.throttling.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = openapi.SETTINGS

# --- Browsers ----------------------------------------------------------------------------------------

# Tokens authenticate the API, not cookies: so no credentials across origins.
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_ALL_ORIGINS = "*" in ALLOWED_ORIGINS
CORS_ALLOWED_ORIGIN_REGEXES = LOCAL_ORIGINS
CORS_ALLOWED_ORIGINS = [origin for origin in ALLOWED_ORIGINS if origin != "*"]
CORS_ALLOW_HEADERS = ["accept", "accept-language", "authorization", "content-type", "idempotency-key"]
CORS_EXPOSE_HEADERS = ["retry-after"]
CSRF_TRUSTED_ORIGINS = CORS_ALLOWED_ORIGINS

# Over plain HTTP a browser drops a secure cookie, so that nobody could sign in to the admin.
SECURE_COOKIES = env.flag("SECURE_COOKIES", default=not DEBUG)
SESSION_COOKIE_SECURE = SECURE_COOKIES
CSRF_COOKIE_SECURE = SECURE_COOKIES
# Sent over HTTPS only. A month, without subdomains: this server may only speak for its own name.
SECURE_HSTS_SECONDS = 0 if DEBUG else 30 * 24 * 3600
SECURE_REFERRER_POLICY = "same-origin"  # a page's address may hold a token, which other sites must not see
X_FRAME_OPTIONS = "DENY"

# --- Static files ------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "realtime.http.static_files.HashedWhenCollected"
    },
}
# Before `collectstatic` has run, files are served from the apps' own directories.
WHITENOISE_USE_FINDERS = DEBUG or not STATIC_ROOT.exists()
WHITENOISE_AUTOREFRESH = DEBUG

# --- Logs --------------------------------------------------------------------------------------------

LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING = logs.configuration(readable=DEBUG, level=LOG_LEVEL)

# --- Metrics -----------------------------------------------------------------------------------------

METRICS_TOKEN = env.key("METRICS_TOKEN")
# Set by the program that starts several workers (`scripts/serve`), for their lifetime.
METRICS_DIR = env.directory("METRICS_DIR")
REVISION = env.revision("REVISION", "RENDER_GIT_COMMIT", "RAILWAY_GIT_COMMIT_SHA")

# --- Directus: see directus/defaults.py ------------------------------------------------------------------

DIRECTUS = {
    "websockets_enabled": env.flag("WEBSOCKETS_ENABLED", default=True),
    "websockets_rest_enabled": env.flag("WEBSOCKETS_REST_ENABLED", default=True),
    "websockets_rest_path": env.url_path("WEBSOCKETS_REST_PATH", "/websocket"),
    "websockets_rest_auth": env.choice(
        "WEBSOCKETS_REST_AUTH", "handshake", ("public", "handshake", "strict")
    ),
    "websockets_rest_auth_timeout": env.timeout("WEBSOCKETS_REST_AUTH_TIMEOUT", 10),
    "websockets_rest_conn_limit": env.count_or_off("WEBSOCKETS_REST_CONN_LIMIT", 0, also_off=("Infinity",)),
    "websockets_heartbeat_enabled": env.flag("WEBSOCKETS_HEARTBEAT_ENABLED", default=True),
    "websockets_heartbeat_period": env.timeout("WEBSOCKETS_HEARTBEAT_PERIOD", 30),
    "query_limit_default": env.integer("QUERY_LIMIT_DEFAULT", 100, maximum=1_000_000),
    "query_limit_max": env.count_or_off("QUERY_LIMIT_MAX", 0, also_off=("-1", "Infinity")),
    "in_milliseconds": tuple(env.in_milliseconds),
}

# --- Ours: see realtime/defaults.py ----------------------------------------------------------------------

RELAIS = {
    "bell_shards": env.integer("BELL_SHARDS", 1, maximum=64),
    "allowed_origins": tuple(ALLOWED_ORIGINS),
    "allowed_origin_patterns": tuple(LOCAL_ORIGINS),
    "trusted_proxies": tuple(TRUSTED_PROXIES),
    "service_api_keys": tuple(env.keys("SERVICE_API_KEYS")),
    "metrics_token": METRICS_TOKEN,
    "metrics_directory": METRICS_DIR,
    "limit_message_bytes": env.integer("LIMIT_MESSAGE_BYTES", 131_072, minimum=1_024, maximum=16_777_216),
    "limit_foreign_message_bytes": env.integer(
        "LIMIT_FOREIGN_MESSAGE_BYTES", 1_048_576, minimum=1_024, maximum=16_777_216
    ),
    "limit_body_bytes": LIMIT_BODY_BYTES,
    "limit_head_bytes": env.integer("LIMIT_HEAD_BYTES", 32_768, minimum=8_192, maximum=1_048_576),
    "limit_content": env.integer("LIMIT_CONTENT", 8_000, maximum=32_000),
    "limit_outbox_bytes": env.integer("LIMIT_OUTBOX_BYTES", 262_144, minimum=16_384, maximum=1_073_741_824),
    "limit_ping_seconds": env.integer("LIMIT_PING_SECONDS", 25, maximum=3_600),
    "limit_pong_seconds": env.integer("LIMIT_PONG_SECONDS", 10, maximum=3_600),
    "limit_head_seconds": env.integer("LIMIT_HEAD_SECONDS", 5, maximum=3_600),
    "limit_body_seconds": env.integer("LIMIT_BODY_SECONDS", 60, maximum=3_600),
    "limit_answer_seconds": env.integer("LIMIT_ANSWER_SECONDS", 30, maximum=3_600),
    "limit_unfinished_seconds": env.integer("LIMIT_UNFINISHED_SECONDS", 30, maximum=3_600),
    "limit_mistakes": env.rate("LIMIT_MISTAKES", "20/min:20"),
    "limit_sends": env.rate("LIMIT_SENDS", "10/s:30"),
    "limit_invitations": env.rate("LIMIT_INVITATIONS", "30/min:60"),
    "limit_cursors": env.rate("LIMIT_CURSORS", "10/s:100"),
    "limit_frames": env.rate("LIMIT_FRAMES", "50/s:200"),
    "limit_control_frames": env.rate("LIMIT_CONTROL_FRAMES", "20/s:200"),
    "limit_fragments": env.rate("LIMIT_FRAGMENTS", "200/s:20000"),
    "limit_typing": env.rate("LIMIT_TYPING", "5/s:20"),
    "limit_sockets_per_user": env.count_or_off("LIMIT_SOCKETS_PER_USER", 20),
    "limit_sockets": env.count_or_off("LIMIT_SOCKETS", 10_000),
    "limit_sockets_per_address": env.count_or_off("LIMIT_SOCKETS_PER_ADDRESS", 1_000),
    "limit_pending_sockets": env.count_or_off("LIMIT_PENDING_SOCKETS", 500),
    "limit_connections": env.count_or_off("LIMIT_CONNECTIONS", 2_000),
    "limit_connections_per_address": env.count_or_off("LIMIT_CONNECTIONS_PER_ADDRESS", 200),
    "limit_handshakes": env.rate("LIMIT_HANDSHAKES", "50/s:200"),
    "limit_rest": env.rate("LIMIT_REST", "50/s:200"),
    "limit_logins": env.rate("LIMIT_LOGINS", "10/min:10"),
    "limit_logins_per_address": env.rate("LIMIT_LOGINS_PER_ADDRESS", "60/min:60"),
    "limit_logins_per_account": env.rate("LIMIT_LOGINS_PER_ACCOUNT", "60/h:100"),
    "limit_registrations": env.rate("LIMIT_REGISTRATIONS", "10/min:20"),
    "limit_strangers_waiting": env.integer("LIMIT_STRANGERS_WAITING", 256, maximum=10_000),
    "limit_strangers_waiting_per_address": env.integer(
        "LIMIT_STRANGERS_WAITING_PER_ADDRESS", 200, maximum=10_000
    ),
    "limit_stranger_seconds": env.integer("LIMIT_STRANGER_SECONDS", 10, maximum=60),
    "limit_passwords_waiting": env.integer("LIMIT_PASSWORDS_WAITING", 64, maximum=1_000),
    "limit_passwords_waiting_per_address": env.integer(
        "LIMIT_PASSWORDS_WAITING_PER_ADDRESS", 32, maximum=1_000
    ),
    "limit_password_seconds": env.integer("LIMIT_PASSWORD_SECONDS", 5, maximum=60),
}
