"""Who is in the demo, and the conversation that the guide calls 123.

Everybody knows these passwords, the administrator's aside where DEMO_ADMIN_PASSWORD names one.
That is why the demo has a switch, off by default.
"""

from dataclasses import dataclass

from django.conf import settings

#: The number in the guide's snippets, which the demo runs as they are.
CONVERSATION_ID = 123


@dataclass(frozen=True)
class Person:
    """Someone anybody may sign in as."""

    username: str
    email: str
    password: str
    is_superuser: bool = False

    @property
    def name(self) -> str:
        """As it is written in a sentence."""
        return self.username.capitalize()


ANA = Person("ana", "ana@example.com", "demo-password")
BRUNO = Person("bruno", "bruno@example.com", "demo-password")
ADMIN = Person("admin", "admin@example.com", settings.DEMO_ADMIN_PASSWORD, is_superuser=True)
READER = Person("reader", "reader@example.com", "reader-password-1")

EVERYBODY = (ANA, BRUNO, ADMIN, READER)
#: The two who talk on the page.
TALKING = {person.username: person for person in (ANA, BRUNO)}
