"""Published events are told after the commit, once, or not at all."""

import contextvars
import threading

import pytest
from django.db import connection, transaction

from realtime.events import Event
from realtime.publishing import announcing, publish_now, publish_on_commit
from realtime.testing import Published


class Said(Event, tag="said", frozen=True):
    words: str
    seq: int = 0


class Whispered(Event, tag="whispered", frozen=True):
    words: str


pytestmark = pytest.mark.django_db(transaction=True)


def words(published: Published) -> list[str]:
    return [event["words"] for _, event in published]


def test_event_is_told_after_the_commit(published: Published) -> None:
    with transaction.atomic():
        publish_on_commit("talk.1", Said(words="hello"))
        assert published == []

    assert published == [("talk.1", {"type": "said", "words": "hello", "seq": 1})]


def test_event_without_transaction_is_told_at_once(published: Published) -> None:
    publish_on_commit("talk.1", Said(words="hello"))

    assert words(published) == ["hello"]


def test_rolled_back_event_is_never_told(published: Published) -> None:
    with transaction.atomic():
        publish_on_commit("talk.1", Said(words="oops"))
        transaction.set_rollback(True)

    assert published == []


def test_event_of_a_rolled_back_savepoint_is_never_told(published: Published) -> None:
    with announcing():
        publish_on_commit("talk.1", Said(words="kept"))
        with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012 - the block is the transaction
            publish_on_commit("talk.1", Said(words="undone"))
            raise RuntimeError
        with pytest.raises(RuntimeError), announcing():  # noqa: PT012 - the same
            publish_on_commit("talk.1", Said(words="undone too"))
            raise RuntimeError
        publish_on_commit("talk.1", Said(words="kept as well"))

    assert published == [
        ("talk.1", {"type": "said", "words": "kept", "seq": 1}),
        ("talk.1", {"type": "said", "words": "kept as well", "seq": 2}),
    ]


def test_nested_announcing_tells_once_at_the_end(published: Published) -> None:
    @announcing()
    def inner() -> None:
        publish_on_commit("talk.1", Said(words="inner"))

    with announcing():
        inner()
        publish_on_commit("talk.2", Said(words="outer"))
        assert published == []

    assert words(published) == ["inner", "outer"]


def test_ephemeral_event_is_told_whatever_becomes_of_the_transaction(published: Published) -> None:
    with transaction.atomic():
        publish_now("talk.1", Whispered(words="psst"))
        transaction.set_rollback(True)

    assert published == [("talk.1", {"type": "whispered", "words": "psst"})]


def test_publishing_by_the_wrong_function_is_refused() -> None:
    with pytest.raises(TypeError, match="use publish_now"):
        publish_on_commit("talk.1", Whispered(words="psst"))
    with pytest.raises(TypeError, match="use publish_on_commit"):
        publish_now("talk.1", Said(words="hello"))


def test_task_started_inside_a_transaction_has_its_own_events(published: Published) -> None:
    with announcing():
        publish_on_commit("talk.1", Said(words="outer"))
        context = contextvars.copy_context()  # as a task or a call in a thread would get it

    context.run(publish_on_commit, "talk.1", Said(words="later"))

    assert words(published) == ["outer", "later"]


@pytest.mark.stack("full")  # two can write at once only on this stack
def test_transaction_of_another_thread_appends_for_itself(published: Published) -> None:
    def elsewhere() -> None:
        with announcing():
            publish_on_commit("talk.2", Said(words="elsewhere"))
        connection.close()

    with announcing():
        publish_on_commit("talk.1", Said(words="here"))
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(10)
        assert words(published) == ["elsewhere"]

    assert words(published) == ["elsewhere", "here"]
