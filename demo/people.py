"""The people of the demo, and its conversation, which the guide calls 123.

Everybody knows these passwords, the administrator's aside where DEMO_ADMIN_PASSWORD names one.
That is why the demo has a switch, off by default.
"""

from dataclasses import dataclass

from django.conf import settings

#: The number in the guide's snippets, which the demo runs as they are.
CONVERSATION_ID = 123


@dataclass(frozen=True)
class Person:
    """A user of the demo, as whom anybody may sign in."""

    username: str
    email: str
    password: str
    is_superuser: bool = False

    @property
    def name(self) -> str:
        """The name as it is written in a sentence."""
        return self.username.capitalize()


ANA = Person("ana", "ana@example.com", "demo-password")
BRUNO = Person("bruno", "bruno@example.com", "demo-password")
ADMIN = Person("admin", "admin@example.com", settings.DEMO_ADMIN_PASSWORD, is_superuser=True)
READER = Person("reader", "reader@example.com", "reader-password-1")

EVERYBODY = (ANA, BRUNO, ADMIN, READER)
#: The two people whose chats the page shows.
TALKING = {person.username: person for person in (ANA, BRUNO)}
