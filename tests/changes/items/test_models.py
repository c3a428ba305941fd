"""Rows of a model are written as an app would: by its fields, `clean()`, `save()`, signals, cascades."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.validators import MinLengthValidator
from django.db import connection, models
from django.db.models import signals
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils import timezone

from changes import allow, items, signed_in, watch
from changes.filters import QueryError
from changes.items import InvalidRowError, RowNotFoundError
from realtime import NotAllowedError, log, publish_on_commit, topic
from realtime.events import Event
from tests.changes.items.conftest import problems, shown


class Written(Event, tag="library_written", frozen=True):
    """What an app tells when it saves."""

    title: str
    seq: int = 0


def _models() -> dict[str, Any]:  # noqa: C901 - four models, each as long as its story
    """Models of an app that knows what it wants."""

    class Author(models.Model):
        name = models.CharField(max_length=20)
        is_known = models.BooleanField(default=True)

        class Meta:
            app_label = "changes"

        def __str__(self) -> str:
            return self.name

    class Book(models.Model):
        title = models.CharField(max_length=10, validators=[MinLengthValidator(2)])
        isbn = models.CharField(max_length=4, unique=True, null=True, blank=True)
        shelf = models.CharField(max_length=1, choices=[("a", "A"), ("b", "B")], default="a")
        pages = models.PositiveSmallIntegerField(default=1)
        weight = models.GeneratedField(
            expression=models.F("pages") * 2, output_field=models.IntegerField(), db_persist=True
        )
        author = models.ForeignKey(
            Author, models.CASCADE, null=True, blank=True, limit_choices_to={"is_known": True}
        )
        seen_by = models.ForeignKey(Author, models.PROTECT, null=True, blank=True, related_name="seen")
        slug = models.SlugField(editable=False)
        changed = models.DateTimeField(auto_now=True)
        made = models.DateTimeField(default=timezone.now)
        is_gone = models.BooleanField(default=False)

        class Meta:
            app_label = "changes"
            constraints = [
                models.UniqueConstraint("shelf", "pages", name="one_of_a_size"),
                models.CheckConstraint(
                    condition=~models.Q(title="no"), name="no_no", violation_error_message="Not this title."
                ),
            ]

        def __str__(self) -> str:
            return self.title

        def save(self, *args: Any, **kwargs: Any) -> None:
            self.slug = self.title.lower()
            if self.title == "refused":
                raise ValidationError({"slug": "Not saved."})
            super().save(*args, **kwargs)
            publish_on_commit(topic("library"), Written(title=self.title))

        def delete(self, *args: Any, **kwargs: Any) -> Any:
            if self.shelf == "b":  # kept, and marked
                self.is_gone = True
                self.save()
                return 0, {}
            return super().delete(*args, **kwargs)

        def clean(self) -> None:
            if self.author is not None and self.author.name == self.title:
                raise ValidationError({"title": ValidationError("Not one's own name.", code="own_name")})
            if self.shelf == "b" and self.pages > 9:
                raise ValidationError("Too heavy for b.", code="heavy")

    class Picture(Book):
        painter = models.CharField(max_length=10)

        class Meta:
            app_label = "changes"

    class Label(models.Model):
        hall = models.IntegerField()
        place = models.CharField(max_length=5)
        text = models.CharField(max_length=5, default="x")
        pk = models.CompositePrimaryKey("hall", "place")

        class Meta:
            app_label = "changes"

        def __str__(self) -> str:
            return self.text

    return {"authors": Author, "books": Book, "pictures": Picture, "labels": Label}


@pytest.fixture
def library(declare, root) -> Iterator[dict[str, Any]]:
    with isolate_apps("tests.changes"):
        made = _models()
        with connection.schema_editor() as editor:
            for model in made.values():
                editor.create_model(model)
        for name, model in made.items():
            declare(watch, model, name=name)
        yield made
        with connection.schema_editor() as editor:
            for model in reversed(made.values()):
                editor.delete_model(model)


def refused(write) -> InvalidRowError:
    with pytest.raises(InvalidRowError) as error:
        write()
    return error.value


def test_row_is_saved_with_defaults_slug_and_the_time_of_the_change(library, root):
    before = timezone.now()
    [key] = items.create(root, "books", {"title": "Été"})
    book = library["books"].objects.get(pk=key)

    assert (book.title, book.slug, book.shelf, book.pages) == ("Été", "été", "a", 1)
    assert before <= book.changed <= timezone.now()
    assert before <= book.made <= timezone.now()


def test_update_changes_what_is_given_what_save_makes_of_it_and_the_time(library, root):
    [key] = items.create(root, "books", {"title": "One", "pages": 7})
    before = library["books"].objects.get(pk=key)
    assert items.update(root, "books", {"title": "Two"}, keys=[key]) == [key]
    after = library["books"].objects.get(pk=key)

    assert (after.title, after.slug, after.pages, after.made) == ("Two", "two", 7, before.made)
    assert after.changed > before.changed


def test_signals_are_sent_and_events_published(library, root):
    seen = []

    def note(sender, instance, created=None, **_):
        seen.append((instance.title, created))

    signals.post_save.connect(note, sender=library["books"])
    signals.post_delete.connect(note, sender=library["books"])
    try:
        keys = items.create(root, "books", [{"title": "One", "pages": 1}, {"title": "Two", "pages": 2}])
        items.update(root, "books", {"title": "Three"}, keys=keys[:1])
        items.delete(root, "books", keys=keys[:1])
    finally:
        signals.post_save.disconnect(note, sender=library["books"])
        signals.post_delete.disconnect(note, sender=library["books"])

    assert seen == [("One", True), ("Two", True), ("Three", False), ("Three", None)]
    assert [b'"One"' in event.body.encode() for event in log.replay("library", after=0, limit=9)] == [
        True,
        False,
        False,
    ]


def test_what_is_refused_publishes_nothing(library, root):
    refused(lambda: items.create(root, "books", [{"title": "One"}, {"title": "Two", "pages": 1}]))

    assert list(log.replay("library", after=0, limit=9)) == []


def test_everything_that_is_wrong_is_told_at_once(library, root):
    error = refused(
        lambda: items.create(
            root,
            "books",
            [
                {"title": "x", "shelf": "c", "pages": -1},
                {"title": "One", "author": 12_345},
                {"title": None, "isbn": 5},
                {"shelf": "a"},
            ],
        )
    )

    assert [(problem.row, problem.field, problem.kind, problem.rule) for problem in error.problems] == [
        (2, "isbn", "value", ""),
        (2, "title", "not_null", ""),
        (3, "title", "rule", "required"),
        (1, "author", "foreign_key", ""),
        (0, "title", "rule", "min_length"),
        (0, "shelf", "rule", "invalid_choice"),
        (0, "pages", "out_of_range", "min_value"),
    ]
    assert error.message == "isbn takes a text, not 5. And 6 more."
    assert [problem.value for problem in error.problems[-2:]] == ["c", -1]
    assert library["books"].objects.count() == 0


def test_clean_of_the_model_is_asked_with_the_values_given(library, root):
    ana = library["authors"].objects.create(name="Ana")
    named = refused(lambda: items.create(root, "books", {"title": "Ana", "author": ana.pk}))
    [key] = items.create(root, "books", {"title": "Big", "pages": 12})
    heavy = refused(lambda: items.update(root, "books", {"shelf": "b"}, keys=[key]))

    assert [(each.field, each.rule, each.message) for each in named.problems] == [
        ("title", "own_name", "title: Not one's own name.")
    ]
    assert [(each.field, each.rule, each.message) for each in heavy.problems] == [
        (None, "heavy", "Too heavy for b.")
    ]


def test_save_may_refuse(library, root):
    error = refused(lambda: items.create(root, "books", {"title": "refused"}))

    assert [(each.field, each.message) for each in error.problems] == [("slug", "slug: Not saved.")]


def test_database_says_what_is_not_unique_and_what_a_constraint_forbids(library, root):
    items.create(root, "books", {"id": 99, "title": "One", "isbn": "1234", "pages": 1})
    same_isbn = refused(lambda: items.create(root, "books", {"title": "Two", "isbn": "1234", "pages": 2}))
    same_key = refused(lambda: items.create(root, "books", {"id": 99, "title": "Two", "pages": 2}))
    same_size = refused(lambda: items.create(root, "books", {"title": "Two", "pages": 1}))
    checked = refused(lambda: items.create(root, "books", {"title": "no", "pages": 2}))

    assert [problems(each) for each in (same_isbn, same_key)] == [
        [("not_unique", "isbn")],
        [("not_unique", "id")],
    ]
    assert [kind for kind, _ in problems(same_size)] == ["not_unique"]
    assert (same_isbn.problems[0].value, same_isbn.message) == ("1234", "Another row has this isbn.")
    assert (checked.problems[0].rule, checked.message) == ("check", "Not this title.")
    assert library["books"].objects.get().title == "One"


def test_foreign_key_leads_to_a_row_that_may_be_chosen(library, root):
    known = library["authors"].objects.create(name="Ana")
    unknown = library["authors"].objects.create(name="Bruno", is_known=False)
    [key] = items.create(root, "books", {"title": "One", "author": str(known.pk)})
    for author in (unknown.pk, 999, 2**40):
        error = refused(lambda author=author: items.update(root, "books", {"author": author}, keys=[key]))
        assert problems(error) == [("foreign_key", "author")]

    assert library["books"].objects.get().author == known
    items.update(root, "books", {"author": None}, keys=[key])
    assert library["books"].objects.get().author is None


def test_foreign_keys_of_many_rows_are_looked_up_together(library, root):
    authors = [library["authors"].objects.create(name=str(number)) for number in range(5)]

    rows = [{"title": "Book", "pages": 50 + n, "seen_by": author.pk} for n, author in enumerate(authors)]
    with CaptureQueriesContext(connection) as seen:
        items.create(root, "books", rows)

    assert len([query for query in seen if 'FROM "changes_author"' in query["sql"]]) == 1


def test_deletion_cascades_and_is_refused_where_the_model_protects(library, root, told):
    ana, bruno = (library["authors"].objects.create(name=name) for name in ("Ana", "Bruno"))
    items.create(root, "books", {"title": "One", "author": ana.pk})
    items.create(root, "books", {"title": "Two", "pages": 2, "seen_by": bruno.pk})
    told("books")
    error = refused(lambda: items.delete(root, "authors", keys=[ana.pk, bruno.pk]))

    assert (problems(error), error.message) == ([("foreign_key", None)], "Other rows lead to this one.")
    assert library["authors"].objects.count() == 2
    assert items.delete(root, "authors", keys=[ana.pk]) == [ana.pk]
    assert [event.what for event in told("books")] == ["delete"]


def test_delete_of_the_model_may_keep_the_row(library, root):
    [key] = items.create(root, "books", {"title": "One", "shelf": "b"})

    assert items.delete(root, "books", matching={"shelf": "b"}) == [key]
    assert library["books"].objects.get().is_gone is True


def test_required_fields_are_those_that_the_writer_may_give(library, declare, ana):
    """What nobody gives, `save()` may make; what could have been given is missed."""
    from changes import registry

    registry._collections[:] = [each for each in registry.collections() if each.name != "books"]
    rights = [allow("create", to=signed_in, fields=["title"])]
    declare(watch, library["books"], name="books", fields=["id", "title", "shelf"], rights=rights)
    error = refused(lambda: items.create(ana, "books", {}))

    assert [(each.field, each.rule) for each in error.problems] == [("title", "required")]
    assert items.create(ana, "books", {"title": "One"})
    with pytest.raises(QueryError):
        items.create(ana, "books", {"title": "Two", "slug": "x"})


def test_problem_of_a_field_that_its_writer_does_not_know_names_none(library, declare, ana):
    from changes import registry

    registry._collections[:] = [each for each in registry.collections() if each.name != "books"]
    rights = [allow("create", to=signed_in, fields=["title"])]
    declare(watch, library["books"], name="books", fields=["id", "title"], rights=rights)
    items.create(ana, "books", {"title": "One"})
    error = refused(lambda: items.create(ana, "books", {"title": "Two"}))  # of the same size
    saved = refused(lambda: items.create(ana, "books", {"title": "refused"}))

    assert (problems(error), error.message) == ([("not_unique", None)], "Another row has this value.")
    assert (problems(saved), saved.message) == ([("rule", None)], "Not saved.")


def test_row_of_a_child_model(library, root):
    [key] = items.create(root, "pictures", {"painter": "Ana"})
    items.update(root, "pictures", {"painter": "Bruno"}, keys=[key])
    items.create(root, "books", {"id": 77, "title": "A book", "pages": 77})
    error = refused(lambda: items.create(root, "pictures", {"book_ptr": 77, "painter": "Zoé"}))

    assert shown("pictures") == [{"book_ptr": key, "painter": "Bruno"}]
    assert problems(error) == [("value", "book_ptr")]
    assert library["books"].objects.get(pk=77).title == "A book"


def test_field_that_the_database_computes_takes_no_value(library, root):
    [key] = items.create(root, "books", {"title": "One", "pages": 4})
    for value in (8, None):
        error = refused(lambda value=value: items.update(root, "books", {"weight": value}, keys=[key]))
        assert problems(error) == [("value", "weight")]

    assert library["books"].objects.get().weight == 8


def test_column_that_the_model_does_not_know_takes_no_value(library, root):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE changes_author ADD COLUMN extra text")
    for value in ("x", None):
        error = refused(lambda value=value: items.create(root, "authors", {"name": "Ana", "extra": value}))
        assert (problems(error), error.message[:45]) == (
            [("value", "extra")],
            "extra takes no value: its model does not know",
        )
    assert items.create(root, "authors", {"name": "Ana"})


def test_model_with_a_key_of_several_columns(library, root):
    keys = items.create(root, "labels", [{"hall": 1, "place": "a"}, {"hall": 1, "place": "b", "text": "y"}])
    items.update(root, "labels", {"text": "z"}, keys=[[1, "a"]])
    items.update_each(root, "labels", [{"hall": 1, "place": "b", "text": "w"}])

    assert keys == [(1, "a"), (1, "b")]
    assert [row["text"] for row in shown("labels")] == ["z", "w"]
    assert items.delete(root, "labels", keys=keys) == keys
    with pytest.raises(RowNotFoundError):
        items.delete(root, "labels", keys=[(1, "a")])


def test_error_of_an_app_passes_as_it_is(library, root):
    def forbid(sender, instance, **_):
        raise NotAllowedError("Closed on Sundays.")

    signals.pre_save.connect(forbid, sender=library["books"])
    try:
        with pytest.raises(NotAllowedError, match="Closed on Sundays"):
            items.create(root, "books", {"title": "One"})
    finally:
        signals.pre_save.disconnect(forbid, sender=library["books"])
