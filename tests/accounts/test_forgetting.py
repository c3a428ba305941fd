"""Forgetting a user: no name is left, messages stay or go as asked, and everybody else goes on."""

import contextlib
import io
import json
import re
from uuid import uuid4

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts import services as accounts
from accounts.forgetting import forget
from accounts.leaving import steps
from accounts.management.commands import forget_user
from accounts.models import Forgetting, Session, Ticket, User, forgotten_name
from accounts.tickets import sell_ticket
from accounts.tokens import identify
from chat import services
from chat.models import Conversation, Departure, Message, Participant
from notifications.idempotency import answer_once
from notifications.models import Notification
from notifications.naming import Renaming
from notifications.services import notify
from realtime import log
from realtime.models import LoggedEvent
from realtime.topics import user_topic
from tests.chat.speaking import aside, chat_path, logged, say
from tests.factories import PASSWORD, make_conversation, make_user

pytestmark = pytest.mark.django_db(transaction=True)

#: A name and an e-mail, both spelled in upper and lower case as their owner wrote them.
NAME, EMAIL = "Canárý.o", "canary.mail@example.org"
WORDS = "what was said by them"


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is under way in another process."""
    monkeypatch.setattr(forget_user, "SETTLING_SECONDS", 0)


@pytest.fixture
def ana() -> User:
    return make_user("ana")


@pytest.fixture
def bruno() -> User:
    return make_user("bruno", language="fr")


@pytest.fixture
def canary(ana, bruno) -> User:
    """A user who has done everything that leaves a name somewhere."""
    user = make_user("canary_before", email=EMAIL, first_name="Canáríá", last_name="Canáríá")
    direct, group, left = (
        make_conversation(ana, user),
        make_conversation(user, ana, bruno, title="Project"),
        make_conversation(ana, bruno, title="Left"),
    )
    say(direct, user, WORDS)
    user.username = NAME  # the user is renamed, so the log has both names
    user.save()
    for conversation in (direct, group):
        say(conversation, user, f"{WORDS} again", uuid4())
        services.note_unread([conversation.pk])
    edited = say(group, user, WORDS)
    services.edit_message(
        conversation_id=group.pk, message_id=edited.message_id, by=user, content=f"{WORDS}!"
    )
    say(group, ana, f'"user_id":{user.pk},"username":"somebody else" is what I write')
    services.add_members(conversation_id=left.pk, by=ana, users=[user])
    services.change_role(conversation_id=left.pk, by=ana, user_id=user.pk, role="admin")
    services.remove_member(conversation_id=left.pk, by=ana, user_id=user.pk)
    pair = accounts.sign_in(username=EMAIL, password=PASSWORD)
    pair = accounts.refresh(token=pair["refresh"])
    sell_ticket(identity=identify(pair["access"]))
    notify(
        user=ana,
        kind="payment_completed",
        data={"payment_id": 1, "by": [{"name": NAME}]},
        title=f"For {NAME}",
        message=f"{NAME} ({EMAIL}) wrote; {NAME}.",
    )
    notify(user=bruno, kind="message_received", data={"conversation_id": 1}, variables={"sender": NAME})
    notify(user=user, kind="payment_completed", data={"payment_id": 1})
    answer_once(scope="s", key="k", request={}, work=lambda: {"for": NAME, "title": f"For {NAME}"})
    staff = User.objects.create_superuser("root", password="x")
    user.groups.create(name="testers")
    LogEntry.objects.create(
        user=staff,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(user.pk),
        object_repr=NAME,
        action_flag=CHANGE,
        change_message="",
    )
    return user


def run(name: str = NAME, messages: str = "anonymise") -> str:
    said = io.StringIO()
    call_command("forget_user", name, f"--messages={messages}", "--yes", stdout=said)
    return said.getvalue()


def everything_stored() -> str:
    """Every row of every table as text, and the same text as JSON writes it."""
    text = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            text += [str(row) for row in cursor.fetchall()]
    return "\n".join(text) + "\n".join(json.dumps(each, ensure_ascii=False) for each in text)


def traces() -> set[str]:
    """The names of the user that can still be found."""
    stored = everything_stored()
    written = {word: (word, json.dumps(word)[1:-1]) for word in (NAME, EMAIL, "Canáríá", "canary_before")}
    return {word for word, forms in written.items() if any(form.lower() in stored.lower() for form in forms)}


# ── the name ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("messages", ["anonymise", "delete"])
@pytest.mark.parametrize("named_by", [NAME, "CANárý.O", EMAIL.upper()])
def test_forgotten_name_is_in_no_table(canary, messages, named_by):
    assert traces() == {NAME, EMAIL, "Canáríá", "canary_before"}

    run(named_by, messages)

    assert traces() == set()
    assert forgotten_name(canary.pk) in everything_stored()
    assert not Forgetting.objects.exists()


def test_messages_stay_where_they_are_under_a_number(canary, ana):
    before = {row.pk: (row.seq, row.content) for row in Message.objects.all()}
    places = log_of_everybody()

    run()

    assert {row.pk: (row.seq, row.content) for row in Message.objects.all()} == before
    told = log_of_everybody()
    name = forgotten_name(canary.pk)
    for place, event in places.items():
        for number, beside in (("sender_id", "sender_username"), ("user_id", "username")):
            if event.get(number) == canary.pk and beside in event:
                event[beside] = name
        assert told[place] == event, place


def log_of_everybody() -> dict[tuple[str, int], dict]:
    rows = LoggedEvent.objects.filter(topic__name__startswith="conversation.")
    return {
        (name, seq): json.loads(body) for name, seq, body in rows.values_list("topic__name", "seq", "body")
    }


def test_messages_go_like_any_that_is_deleted(canary, ana, doctor_finds):
    run(messages="delete")

    assert WORDS not in everything_stored()
    assert not Message.objects.filter(sender=canary, deleted_at=None).exists()
    assert not Message.objects.filter(sender=canary).exclude(content="").exists()
    assert Message.objects.filter(sender=ana, deleted_at=None).exists()
    tombs = [event for event in log_of_everybody().values() if event["type"] == "message_deleted"]
    # There is one at the place of each message and of the edit, and one that tells the new name now.
    assert len(tombs) == 2 * Message.objects.filter(sender=canary).count() + 1
    assert doctor_finds() == []


@pytest.fixture
def doctor_finds():
    def visit() -> list[str]:
        said = io.StringIO()
        with contextlib.suppress(SystemExit):
            call_command("doctor", "--json", stdout=said)
        return [line for line in said.getvalue().splitlines() if "what" in json.loads(line)]

    return visit


def test_the_doctor_finds_nothing_wrong_afterwards(canary, doctor_finds):
    run()
    assert doctor_finds() == []


def test_unread_messages_to_somebody_forgotten_are_missed_by_nobody(canary, ana, doctor_finds):
    direct = Conversation.objects.get(kind="direct", participants__user=canary)
    say(direct, ana, "unread")
    services.note_unread([direct.pk])
    run()
    assert doctor_finds() == []
    say(direct, ana, "to nobody")
    services.note_unread([direct.pk])
    assert doctor_finds() == []


def test_forgotten_user_is_only_a_number(canary):
    run()

    canary.refresh_from_db()
    assert (canary.username, canary.email, canary.first_name, canary.last_name) == (
        forgotten_name(canary.pk),
        None,
        "",
        "",
    )
    assert [canary.is_active, canary.is_staff, canary.is_superuser] == [False] * 3
    assert not canary.has_usable_password()
    assert not canary.groups.exists()
    for model in (Session, Ticket, Notification, Departure):
        assert not model.objects.filter(user=canary).exists(), model
    kinds = Conversation.objects.filter(participants__user=canary).values_list("kind", flat=True)
    assert list(kinds) == ["direct"]
    own = log.replay(user_topic(canary.pk), after=0, limit=100)
    assert {json.loads(event.body)["type"] for event in own} == {
        "account_disabled",
        "conversation_left",
        "session_revoked",
        "user_renamed",
    }


def test_nobody_can_register_the_name_of_somebody_forgotten(canary, db):
    run()
    client = Client()
    for number in (canary.pk, canary.pk + 1):
        answer = client.post(
            "/api/auth/register/",
            {"username": forgotten_name(number), "password": "tr1cky-enough"},
            content_type="application/json",
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")


def test_old_name_is_free_again_and_whoever_takes_it_is_somebody_else(canary):
    run()
    other = accounts.register(username=NAME, password="tr1cky-enough", email=EMAIL)

    assert other.pk != canary.pk
    assert accounts.sign_in(username=NAME, password="tr1cky-enough")


# ── what is told ─────────────────────────────────────────────────────────────────────────────────────────


async def test_sockets_close_at_once_and_the_others_are_told(canary, ana, bruno, connect):
    direct = await Conversation.objects.aget(kind="direct")
    group = await Conversation.objects.aget(title="Project")
    async with (
        connect(canary, chat_path(direct)) as own,
        connect(canary, "/ws/notifications/") as bell,
        connect(ana, chat_path(direct, "?v=1")) as other,
        connect(ana, chat_path(direct)) as guide,
        connect(bruno, chat_path(group, "?v=1")) as heir,
    ):
        await aside(run)()

        assert await own.receive_close() == 4403
        assert await bell.receive_close() == 4403
        renamed = await other.receive_until("member_renamed")
        assert (renamed["user_id"], renamed["username"]) == (canary.pk, forgotten_name(canary.pk))
        told = [
            await heir.receive_until(kind)
            for kind in ("member_role_changed", "member_renamed", "member_removed")
        ]
        assert [event["user_id"] for event in told] == [ana.pk, canary.pk, canary.pk]
        assert NAME not in json.dumps(told)
        assert await guide.receives_nothing()


async def test_replay_does_not_tell_the_old_name(canary, ana, connect):
    await aside(run)()
    direct = await Conversation.objects.aget(kind="direct")

    async with connect(ana, chat_path(direct, "?since=0")) as back:
        frames = [await back.receive()]
        while frames[-1]["type"] != "subscribed":
            frames.append(await back.receive())

    assert [frame["sender_username"] for frame in frames if frame["type"] == "message"] == [
        forgotten_name(canary.pk)
    ] * 2
    assert "anary" not in json.dumps(frames)


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_done_without_confirmation(canary):
    before = everything_stored()

    with pytest.raises(CommandError, match="Nothing was done"):
        call_command("forget_user", NAME, "--messages=delete")
    with pytest.raises(CommandError, match="--messages"):
        call_command("forget_user", NAME, "--yes")
    with pytest.raises(CommandError, match="no user"):
        call_command("forget_user", "nobody", "--messages=delete", "--yes")

    assert everything_stored() == before


def test_report_says_what_was_done_and_a_second_run_finds_nothing(canary):
    first = run()
    assert re.search(r"^ +1  groups were left$", first, re.MULTILINE)
    assert first.endswith(f"User {canary.pk} is forgotten; their messages are kept without a name.\n")

    with pytest.raises(CommandError, match="forgotten already"):
        run()
    stored = LoggedEvent.objects.count()
    again = run(forgotten_name(canary.pk))

    counts = {int(line.split()[0]) for line in again.splitlines()[:-2]}
    assert counts == {0}
    assert LoggedEvent.objects.filter(topic__name__startswith="conversation.").count() <= stored
    assert traces() == set()


@pytest.mark.parametrize("done", range(9))
@pytest.mark.parametrize("messages", ["anonymise", "delete"])
def test_run_that_was_killed_is_finished_by_the_same_command(canary, done, messages):
    """The command is killed after so many steps; meanwhile another user takes the name."""
    running = forget(canary, deletes_messages=messages == "delete")
    for _ in range(min(done, len(steps()))):
        next(running)
    running.close()
    newcomer = make_user(NAME) if done else None

    run(messages=messages)

    if newcomer is not None:
        assert User.objects.get(username=NAME).is_active
        newcomer.delete()
    assert traces() == set()
    assert (WORDS in everything_stored()) == (messages == "anonymise")


@pytest.mark.parametrize("messages", ["anonymise", "delete"])
def test_message_that_was_on_its_way_is_forgotten_too(canary, messages):
    """A process that has not heard of the end stores the message in the direct conversation, under the name
    it knows."""
    direct = Conversation.objects.get(kind="direct")
    before = User.objects.get(pk=canary.pk)

    def stored_late() -> None:
        say(direct, before, f"{WORDS}, late")
        services.note_unread([direct.pk])
        assert traces() == {NAME, EMAIL}  # in the log, and in what this run remembers

    for _ in forget(canary, deletes_messages=messages == "delete", settle=stored_late):
        pass

    assert traces() == set()
    assert (f"{WORDS}, late" in everything_stored()) == (messages == "anonymise")


def test_run_that_is_killed_by_the_machine_is_finished_too(canary):
    """The run is killed in the middle of a transaction: what it had begun is undone, what it had finished
    stays."""
    calls = iter(range(3))
    original = services.names._rewrite

    def killed(*arguments: object) -> list[int]:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return original(*arguments)

    services.names._rewrite = killed
    try:
        with pytest.raises(KeyboardInterrupt):
            run()
    finally:
        services.names._rewrite = original
    assert traces() != set()

    run()

    assert traces() == set()


def test_many_are_forgotten_by_a_batch_at_a_time(canary, ana, monkeypatch):
    from chat.services import messages, names

    monkeypatch.setattr(names, "REWRITTEN_TOGETHER", 2)
    monkeypatch.setattr(messages, "DELETED_TOGETHER", 2)
    group = Conversation.objects.get(title="Project")
    for number in range(7):
        say(group, canary, f"{WORDS} {number}")

    run(messages="delete")

    assert traces() == set()
    assert WORDS not in everything_stored()


def test_account_that_was_disabled_before_is_forgotten_too(canary):
    accounts.deactivate(user=canary)
    run()
    assert traces() == set()


def test_names_of_others_stay(canary, ana, bruno):
    alike = make_user(f"{NAME}x")
    words = f"{NAME}x and x{NAME}, {NAME}@x and {NAME}.x"
    entry = notify(user=ana, kind="payment_completed", data={"payment_id": 1}, message=words)
    group = make_conversation(ana, alike, bruno, title="Others")
    say(group, alike)
    before = logged(group)

    run()

    entry.refresh_from_db()
    assert entry.message == words
    assert logged(group) == before
    alike.refresh_from_db()
    assert alike.username == f"{NAME}x"


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("payment_completed", "Your payment has been processed", "Your payment has been processed"),
        ("payment_completed", "Paiement confirmé", "Paiement confirmé"),
        ("message_received", "payment sent a message", "X sent a message"),
        ("message_received", "payment a envoyé un message", "X a envoyé un message"),
        ("message_received", "Someone sent a message", "Someone sent a message"),
        ("payment_completed", "A payment, by payment.", "A X, by X."),
        ("gone", "payment", "X"),
    ],
)
def test_sentences_of_a_kind_say_nothing_of_somebody_who_is_called_like_their_words(kind, text, expected):
    assert Renaming(["payment"], "X").words(kind, text) == expected


# ── export ───────────────────────────────────────────────────────────────────────────────────────────────


def test_export_holds_what_is_theirs_and_no_secret(canary, ana, tmp_path):
    said = io.StringIO()
    call_command("export_user", NAME, "--to", str(tmp_path), stdout=said)
    file = tmp_path / f"user-{canary.pk}.json"
    assert said.getvalue().strip() == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]

    text = file.read_text()
    held = json.loads(text)
    assert list(held) == [
        "format",
        "exported_at",
        "profile",
        "sessions",
        "notifications",
        "conversations",
        "memberships",
        "departures",
        "messages",
        "static_tokens",
        "articles",  # the demo's
    ]
    assert held["format"] == "relais.user.1"
    [profile] = held["profile"]
    assert (profile["id"], profile["username"], profile["email"]) == (canary.pk, NAME, EMAIL)
    assert [message["content"] for message in held["messages"]] == [
        WORDS,
        f"{WORDS} again",
        f"{WORDS} again",
        f"{WORDS}!",
    ]
    assert {row["conversation_id"] for row in held["memberships"]} == {
        row["id"] for row in held["conversations"]
    }
    assert {"delivered_seq", "read_seq", "role", "joined_seq"} <= held["memberships"][0].keys()
    [session] = held["sessions"]
    assert session.keys() == {"id", "created_at", "last_used_at", "revoked_at", "user_agent", "address"}
    assert [entry["kind"] for entry in held["notifications"]][-1] == "payment_completed"
    canary.refresh_from_db()
    ticket = Ticket.objects.get(user=canary)
    assert canary.password not in text
    assert ticket.digest not in text


def test_export_to_standard_output_is_the_same_document(canary, tmp_path):
    said = io.StringIO()
    call_command("export_user", EMAIL, stdout=said)
    call_command("export_user", NAME, "--to", str(tmp_path), stdout=io.StringIO())

    document, file = json.loads(said.getvalue()), json.loads(next(tmp_path.iterdir()).read_text())
    assert document | {"exported_at": ""} == file | {"exported_at": ""}


def test_export_that_cannot_be_written_says_so_and_leaves_nothing(canary, tmp_path):
    with pytest.raises(CommandError, match="could not be written"):
        call_command("export_user", NAME, "--to", str(tmp_path / "absent"))
    with pytest.raises(CommandError, match="no user"):
        call_command("export_user", "nobody")


def test_export_is_read_a_chunk_at_a_time(canary, ana):
    """The memory of the export does not grow with the number of messages."""
    import tracemalloc

    from accounts.management.commands.export_user import document

    direct = Conversation.objects.get(kind="direct")

    def peak() -> int:
        tracemalloc.start()
        for _ in document(canary):
            pass
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return taken

    def speak(count: int) -> None:
        first = log.heads([f"conversation.{direct.pk}"])[f"conversation.{direct.pk}"] + 1_000_000
        first += Message.objects.count()
        Message.objects.bulk_create(
            Message(
                conversation=direct,
                sender=canary,
                seq=first + n,
                content="x" * 500,
                created_at=canary.date_joined,
            )
            for n in range(count)
        )

    speak(1_000)
    peak()
    before = peak()
    speak(5_000)

    assert peak() < before * 1.5


# ── the admin ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def admin(db) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss", password="x"))
    return client


def test_admin_is_sent_to_the_command_for_a_user_who_has_sent_messages(canary, admin):
    page = admin.get(reverse("admin:accounts_user_delete", args=[canary.pk]), follow=True)
    assert (
        f"manage.py forget_user &#x27;{NAME}&#x27; --messages=anonymise|delete --yes" in page.content.decode()
    )
    page = admin.post(reverse("admin:accounts_user_delete", args=[canary.pk]), {"post": "yes"}, follow=True)
    assert page.status_code == 200
    assert "forget_user" in page.content.decode()
    assert User.objects.filter(pk=canary.pk, username=NAME).exists()


def test_admin_deletes_no_selected_user_who_has_sent_messages(canary, bruno, admin):
    silent = make_user("silent")
    url = reverse("admin:accounts_user_changelist")
    chosen = {"action": "delete_selected", "_selected_action": [canary.pk, silent.pk], "post": "yes"}

    page = admin.post(url, chosen, follow=True)

    assert page.status_code == 200
    assert "forget_user" in page.content.decode()
    assert User.objects.filter(pk__in=[canary.pk, silent.pk]).count() == 2
    admin.post(url, {**chosen, "_selected_action": [silent.pk]}, follow=True)
    assert not User.objects.filter(pk=silent.pk).exists()


def test_every_table_with_a_user_is_known_here():
    """A new table that points to users must be forgotten and exported: do that, and add it to this list."""
    pointing = {
        f"{relation.related_model._meta.label}.{relation.field.name}"
        for relation in User._meta.get_fields(include_hidden=True)
        if relation.auto_created and not relation.concrete and relation.related_model is not None
    }

    assert {name for name in pointing if not name.startswith("accounts.User_")} == {
        "accounts.Forgetting.user",
        "accounts.Handle.user",  # follows the names that are forgotten and exported
        "accounts.Session.user",
        "accounts.Ticket.user",
        "admin.LogEntry.user",
        "chat.Conversation.created_by",
        "chat.Conversation.members",
        "chat.Departure.user",
        "chat.Message.sender",
        "chat.Participant.user",
        "demo.Article.author",
        "directus.StaticToken.user",
        "notifications.Notification.user",
        "token_blacklist.OutstandingToken.user",
    }
    assert Participant._meta.get_field("user").related_model is User
