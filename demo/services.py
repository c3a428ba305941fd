"""Seeding: creates the demo's people, their conversation and first rows; it can be run again."""

from dataclasses import dataclass, field

from django.db import IntegrityError, connection, transaction

from accounts.models import User
from chat.models import Conversation, Participant
from chat.services import Draft, create_conversation, send_messages
from demo import people
from demo.people import ANA, BRUNO, CONVERSATION_ID, Person
from demo.rows import first_rows
from realtime import RealtimeError, announcing

FIRST_MESSAGES = [
    (ANA, "Hi Bruno! My half of this window is the guide's JavaScript, as it stands in the guide."),
    (BRUNO, "Mine too. Type something, and look at the other side before you send it."),
    (ANA, "Bonjour 👋  مرحبا بالعالم"),
]


class CannotSeedError(Exception):
    """The database holds something else where the demo's data would go."""


@dataclass
class Seeded:
    """The result of seeding: what was created, and what was left alone."""

    created: list[str] = field(default_factory=list)
    #: Existing accounts with a password of their own: nobody can sign in to them with one click.
    other_password: list[str] = field(default_factory=list)


@announcing()
def seed() -> Seeded:
    """Create whatever of the demo is missing and change nothing that is there.

    An account that already exists keeps its password: on a server that is not a demo after all,
    `admin` must not become anybody's.
    """
    done = Seeded()
    users = {person: _user(person, done) for person in people.EVERYBODY}
    _conversation(users[ANA], users[BRUNO], done)
    done.created += first_rows(users[ANA])
    return done


def _user(person: Person, done: Seeded) -> User:
    user = User.objects.filter(username__iexact=person.username).first()
    if user is not None:
        if not user.check_password(person.password):
            done.other_password.append(user.username)
        return user
    create = User.objects.create_superuser if person.is_superuser else User.objects.create_user
    try:
        with transaction.atomic():
            user = create(username=person.username, email=person.email, password=person.password)
    except IntegrityError:
        raise CannotSeedError(f"Another account has the e-mail address {person.email}.") from None
    done.created.append(user.username)
    return user


def _conversation(ana: User, bruno: User, done: Seeded) -> None:
    existing = Conversation.objects.filter(pk=CONVERSATION_ID).first()
    if existing is None:
        made = create_conversation(creator=ana, participants=[bruno], conversation_id=CONVERSATION_ID)
        if made.pk != CONVERSATION_ID:
            raise CannotSeedError(f"Ana and Bruno talk in conversation {made.pk}, and a pair has only one.")
        _count_on_from_here()
        _first_messages({ANA: ana, BRUNO: bruno})
        done.created.append(f"conversation {CONVERSATION_ID}")
        return
    members = set(Participant.objects.filter(conversation=existing).values_list("user_id", flat=True))
    if not members >= {ana.pk, bruno.pk}:
        raise CannotSeedError(f"Conversation {CONVERSATION_ID} exists and is not Ana's and Bruno's.")


def _first_messages(users: dict[Person, User]) -> None:
    drafts = [Draft(CONVERSATION_ID, sender=users[person], content=text) for person, text in FIRST_MESSAGES]
    for outcome in send_messages(drafts):
        if isinstance(outcome, RealtimeError):
            raise outcome


def _count_on_from_here() -> None:
    """Move PostgreSQL's sequence above our conversation's id, which was given and not drawn from it.

    Never backwards: a higher sequence has handed out numbers that may not be committed yet.
    """
    if connection.vendor == "postgresql":
        table = Conversation._meta.db_table  # noqa: SLF001 - documented by Django, in spite of its name
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [connection.ops.quote_name(table)])
            (ids,) = cursor.fetchone()
            cursor.execute("SELECT setval(%s, greatest(nextval(%s), %s))", [ids, ids, CONVERSATION_ID])
