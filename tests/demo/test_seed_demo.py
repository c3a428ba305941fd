"""`manage.py seed_demo` makes the same people however often it runs, and changes nobody else's data."""

import subprocess
import sys
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from accounts.models import User
from chat.models import Conversation, Message
from demo.models import Product
from tests.factories import make_conversation, make_user
from tests.servers import ROOT, product_environment

pytestmark = pytest.mark.django_db

TABLES: list[Any] = list(apps.get_app_config("demo").get_models())
PASSWORDS = {
    "ana": "demo-password",
    "bruno": "demo-password",
    "admin": "admin-password-1",
    "reader": "reader-password-1",
}


def test_makes_the_people_and_their_conversation(client):
    call_command("seed_demo")

    for username, password in PASSWORDS.items():
        user = User.objects.get(username=username)
        assert user.email == f"{username}@example.com"
        assert user.check_password(password)
        assert user.is_superuser is (username == "admin")
        assert user.is_staff is (username == "admin")
    conversation = Conversation.objects.get(pk=123)
    assert conversation.kind == "direct"
    assert set(conversation.members.values_list("username", flat=True)) == {"ana", "bruno"}
    senders = (
        Message.objects.filter(conversation=conversation)
        .order_by("seq")
        .values_list("sender__username", flat=True)
    )
    assert list(senders) == ["ana", "bruno", "ana"]


def test_every_collection_has_rows_and_those_that_had_some_keep_theirs():
    Product.objects.create(name="Desk")

    call_command("seed_demo")

    assert all(model.objects.exists() for model in TABLES)
    assert [product.name for product in Product.objects.all()] == ["Desk"]


def test_second_run_changes_nothing(capsys):
    call_command("seed_demo")
    before = _everything()
    capsys.readouterr()

    call_command("seed_demo")

    assert _everything() == before
    assert capsys.readouterr().out == "Everything was there.\n"


def test_conversations_go_on_above_the_guides_number():
    call_command("seed_demo")
    clara = make_user("clara")

    numbers = [make_conversation(clara, title=str(n)).pk for n in range(3)]

    assert min(numbers) > 123
    assert len(set(numbers)) == 3


def test_existing_account_keeps_its_password(capsys):
    """If the server is no demo after all, `admin` must not become anybody's."""
    admin = User.objects.create_superuser("admin", "root@example.org", "a password of their own")

    call_command("seed_demo")

    admin.refresh_from_db()
    assert admin.check_password("a password of their own")
    assert admin.email == "root@example.org"
    assert "admin was there before" in capsys.readouterr().err


def test_conversation_123_of_others_is_left_alone():
    clara, david = make_user("clara"), make_user("david")
    make_conversation(clara, david)
    Conversation.objects.create(pk=123, created_by=clara)

    with pytest.raises(CommandError, match=r"Conversation 123 exists and is not Ana's and Bruno's\."):
        call_command("seed_demo")

    assert not User.objects.filter(username="ana").exists()


def test_other_conversation_of_the_pair_is_named():
    other = make_conversation(make_user("ana"), make_user("bruno"))

    with pytest.raises(CommandError, match=f"talk in conversation {other.pk}"):
        call_command("seed_demo")

    assert not Message.objects.exists()


def test_taken_e_mail_address_is_named():
    make_user("anna", email="ANA@example.com")

    with pytest.raises(CommandError, match=r"e-mail address ana@example\.com"):
        call_command("seed_demo")


@pytest.mark.acceptance
def test_refused_without_the_demo(tmp_path):
    environment = product_environment(database_url=f"sqlite:///{tmp_path}/db.sqlite3")

    done = subprocess.run(
        [sys.executable, "manage.py", "seed_demo"],
        cwd=ROOT,
        env=environment | {"DEMO_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "seed_demo needs DEMO_ENABLED=1" in done.stderr
    assert "Traceback" not in done.stderr


def test_administrator_gets_the_password_of_the_setting(new_database):
    """`seed_demo` by itself keeps the public password; `scripts/dev` sets another."""
    environment = product_environment(database_url=new_database()) | {"DEMO_ADMIN_PASSWORD": "our own"}
    script = (
        "import django; django.setup()\n"
        "from accounts.models import User; from demo.services import seed\n"
        "User.objects.filter(username='admin').delete(); seed()\n"
        "admin = User.objects.get(username='admin')\n"
        "print([admin.check_password(password) for password in ('our own', 'admin-password-1')])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "[True, False]\n", done.stderr


def _everything() -> list[object]:
    return [
        list(User.objects.order_by("pk").values()),
        list(Conversation.objects.order_by("pk").values()),
        list(Message.objects.order_by("pk").values()),
        *(list(model.objects.order_by("pk").values()) for model in TABLES),
    ]
