"""Rows of a model, written through instances of it, one by one, so that an app's own code runs.

That is what fields do when they are saved (`auto_now`), validators and choices, `clean()`, `save()`,
`delete()` and its cascades, signals. Whether a value is unique and a constraint holds, the database says.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, models

from changes.filters.values import Value, value_from_python
from changes.items.errors import ProblemKind, RowNotFoundError, RowProblem
from changes.items.given_rows import GivenRow
from changes.items.given_values import COMPUTED, UnfitValueError
from changes.items.refusals import Attempt, problems_of, required
from changes.items.target import KEYS_TOGETHER, Target
from changes.shapes import Field, Kind


class ModelRows:
    """The rows of one model."""

    def __init__(self, target: Target, attempt: Attempt, model: type[models.Model]) -> None:
        self.target = target
        self.attempt = attempt
        self.model = model
        #: By the number of the row in the call, and by key.
        self.made: dict[int, models.Model] = {}
        self.found: dict[Value, models.Model] = {}
        attempt.parameter = self._parameter

    @cached_property
    def fields(self) -> Mapping[str, models.Field[Any, Any]]:
        """The fields of the model by the names of the collection's."""
        meta = self.model._meta  # noqa: SLF001 - documented
        by_column = {
            field.column: field
            for field in meta.concrete_fields
            if field.column and field.model._meta.db_table == meta.db_table  # noqa: SLF001 - the same
        }
        return {
            each.name: by_column[each.column]
            for each in self.target.opened.shape.fields
            if each.column in by_column
        }

    def refuses(self, field: Field) -> str | None:
        """Why the field takes no value at all."""
        if field.name not in self.fields:
            return "its model does not know it"
        if _leads_to_parent(self.fields[field.name]):
            return "it is the key of another row"  # which would be written anew, with its defaults
        return COMPUTED if field.is_computed else None

    def adapted(self, field: Field, value: Any) -> Any:
        """A value as the model's field has it."""
        if field.kind is not Kind.OTHER:
            return value
        try:
            return self.fields[field.name].to_python(value)
        # A field of an app knows what it may be given in its forms; what it does with anything else is open.
        except (ValidationError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
            raise UnfitValueError("another kind of value") from None

    def _parameter(self, field: Field, value: Any) -> Any:
        return self.fields[field.name].get_db_prep_save(value, connection)

    # ── before anything is written ───────────────────────────────────────────────────────────────────────

    def check(self, rows: Sequence[GivenRow], known: Iterable[RowProblem] = ()) -> list[RowProblem]:
        """The problems that are known, and what the model does not take of new rows, or of those loaded."""
        problems = [*known, *(problem for row in rows for problem in self._absent(row))]
        problems += self._leading_nowhere(rows)
        wrong = {problem.row for problem in problems}
        for row in rows:
            if row.number not in wrong:  # an app's clean() may follow its relations
                problems += self._unclean(row)
        return problems

    def _absent(self, row: GivenRow) -> Iterator[RowProblem]:
        """Fields that are null and must not be; in a new row also those that are not given."""
        self.attempt.row = row
        for name, field in self.fields.items():
            if name in row.given:
                if name in row.values and row.values[name] is None and not field.null:
                    yield row.problem(ProblemKind.NOT_NULL, f"{name} cannot be null.", name)
            elif row.key is None and name in self.target.permitted.fields and _is_required(field):
                yield required(self.attempt, name)

    def _leading_nowhere(self, rows: Sequence[GivenRow]) -> Iterator[RowProblem]:
        """Foreign keys to rows that do not exist; one query for each foreign key, whoever may read those."""
        for name, field in self.fields.items():
            if not isinstance(field, models.ForeignKey):
                continue
            leading = [row for row in rows if row.values.get(name) is not None]
            wanted = {row.values[name] for row in leading}
            if not wanted:
                continue
            other = field.remote_field.model._base_manager.complex_filter(field.get_limit_choices_to())  # noqa: SLF001 - documented
            to = field.target_field.attname
            there = set(other.filter(**{f"{to}__in": wanted}).values_list(to, flat=True))
            for row in leading:
                if row.values[name] not in there:
                    yield row.problem(ProblemKind.FOREIGN_KEY, f"{name} leads to no row.", name)

    def _unclean(self, row: GivenRow) -> list[RowProblem]:
        self.attempt.row = row
        instance = self._instance(row)
        for name, value in row.values.items():
            setattr(instance, self.fields[name].attname, value)
        try:
            instance.full_clean(
                exclude=self._not_cleaned(row), validate_unique=False, validate_constraints=False
            )
        except ValidationError as error:
            return problems_of(error, self.attempt)
        return []

    def _instance(self, row: GivenRow) -> models.Model:
        if row.key is not None:
            return self.found[row.key]
        instance = self.made[row.number] = self.model()
        return instance

    def _not_cleaned(self, row: GivenRow) -> set[str]:
        """Fields that were not given, or are null; foreign keys, which were looked at together."""
        cleaned = {
            self.fields[name].name
            for name, value in row.values.items()
            if value is not None and not isinstance(self.fields[name], models.ForeignKey)
        }
        return {field.name for field in self.model._meta.fields} - cleaned  # noqa: SLF001 - documented

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────

    def create(self, rows: Iterable[GivenRow]) -> list[Value]:
        """Save new instances; returns their keys."""
        keys = []
        for row in rows:
            self.attempt.row, instance = row, self.made[row.number]
            instance.save(force_insert=True)
            keys.append(self._key_of(instance))
        return keys

    def _key_of(self, instance: models.Model) -> Value:
        table = self.target.table
        return self.target.key_of(
            {
                name: value_from_python(
                    table.by_name[name].kind, getattr(instance, self.fields[name].attname)
                )
                for name in table.key
            }
        )

    def load(self, keys: Sequence[Value]) -> None:
        """Read the instances of rows that are locked."""
        for some in self._of_keys(keys):
            for instance in self.model._base_manager.filter(some):  # noqa: SLF001 - documented
                self.found[self._key_of(instance)] = instance
        if any(key not in self.found for key in keys):
            raise RowNotFoundError

    def _of_keys(self, keys: Sequence[Value]) -> Iterator[models.Q]:
        names = [self.fields[name].attname for name in self.target.table.key]
        if len(names) == 1:
            yield models.Q(**{f"{names[0]}__in": list(keys)})
            return
        each = [models.Q(**dict(zip(names, key, strict=True))) for key in keys]
        for at in range(0, len(each), KEYS_TOGETHER):
            yield functools.reduce(operator.or_, each[at : at + KEYS_TOGETHER])

    def update(self, rows: Sequence[GivenRow]) -> None:
        """Save instances that were loaded and given their values."""
        for row in rows:
            if row.values:
                self.attempt.row = row
                self.found[row.key].save()

    def delete(self, keys: Sequence[Value]) -> None:
        """Delete rows that are locked, and what the model says of those that lead to them."""
        self.load(keys)
        for key in keys:
            self.found[key].delete()


def _leads_to_parent(field: models.Field[Any, Any]) -> bool:
    """Whether it is the key of a child model's row, and with it of its parent's."""
    return bool(field.primary_key and getattr(field.remote_field, "parent_link", False))


def _is_required(field: models.Field[Any, Any]) -> bool:
    """Whether a new row needs a value for it: it has no other, and Django would save an empty text."""
    return field.editable and not (
        _leads_to_parent(field)
        or field.null
        or field.blank
        or field.has_default()
        or field.has_db_default()
        or field.generated
        or isinstance(field, models.AutoField)
        or getattr(field, "auto_now", False)
        or getattr(field, "auto_now_add", False)
    )
