"""Triggers of PostgreSQL: one for each statement, which notes all rows that it changed in one statement.

Whatever goes wrong in one is caught, and noted as *changes were missed*: the write that it watches goes on.
"""

from __future__ import annotations

from django.db import connection

from changes.models import NotedChange
from changes.registry import Watched
from changes.rows import postgresql_columns
from changes.shapes import Shape, literal, quoted
from changes.triggers.parts import PREFIX, Part, Present, kept_fields

_NOTED = NotedChange._meta.db_table  # noqa: SLF001 - documented, in spite of its name
#: What the reader listens to.
CHANNEL = "relais_changes"

#: The tables that a statement may name to change rows of one: itself, its partitions, and those that inherit.
_TABLES = """
    WITH RECURSIVE tree AS (
        SELECT to_regclass(%s)::oid AS oid
        UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.oid
    )
    SELECT tree.oid::regclass::text FROM tree JOIN pg_class USING (oid)
    WHERE relkind IN ('r', 'p') ORDER BY tree.oid
"""
_TRIGGERS = {
    "insert": "AFTER INSERT ON {} REFERENCING NEW TABLE AS new_rows",
    "update": "AFTER UPDATE ON {} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "AFTER DELETE ON {} REFERENCING OLD TABLE AS old_rows",
    "truncate": "BEFORE TRUNCATE ON {}",  # afterwards nobody knows what was there
}


def parts(watched: Watched, shape: Shape) -> list[Part]:
    """The function of a watched table, and the triggers that call it."""
    function = f"{PREFIX}{watched.name}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema(), quote_ident(current_schema())")
        schema, schema_name = cursor.fetchone()
        cursor.execute(_TABLES, [quoted(shape.table)])
        tables = [table for (table,) in cursor.fetchall()]
    body = _body(watched, shape)
    # The rights of whoever installed it: a writer needs none on our tables. So it finds them in one place.
    made = (
        f"CREATE OR REPLACE FUNCTION {schema_name}.{function}() RETURNS trigger LANGUAGE plpgsql"
        f" SECURITY DEFINER SET search_path = {schema_name}, pg_temp SET \"TimeZone\" = 'UTC'"
        f" AS {literal(body)}"
    )
    return [
        Part(watched.name, f"function {schema}.{function}", body, (made,)),
        *(
            _trigger(watched.name, table, event, timing, f"{schema_name}.{function}")
            for table in tables
            for event, timing in _TRIGGERS.items()
            if event != "insert" or watched.notes_new_rows
        ),
    ]


def _trigger(collection: str, table: str, event: str, timing: str, function: str) -> Part:
    name = f"{PREFIX}{collection}_{event}"
    return Part(
        collection,
        f"trigger {name} on {table}",
        function.rpartition(".")[2],
        (
            f"DROP TRIGGER IF EXISTS {name} ON {table}",
            f"CREATE TRIGGER {name} {timing.format(table)} FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
        ),
    )


def _body(watched: Watched, shape: Shape) -> str:
    # In SQL a name may mean a column, a variable or a row: ours are names that no column has.
    taken = {name for field in shape.fields for name in (field.name, field.column)}
    mark, at, was, row, old, new = (
        _free(name, taken) for name in ("mark", "at", "was", "row_", "old_", "new_")
    )
    key = ", ".join(quoted(field.name) for field in shape.key)
    name = literal(watched.name)
    # As JSON, since a column may be of a type that cannot be compared.
    only_changed = f"""
        WHERE row_to_json({old})::text IS DISTINCT FROM row_to_json({new})::text;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF"""
    if watched.notes_every_update:
        only_changed = ""

    kept = kept_fields(watched, shape)

    def columns(alias: str) -> str:
        return postgresql_columns(shape.fields, alias)

    def as_json(alias: str) -> str:
        if kept == shape.fields:
            return f"row_to_json({alias})::text"
        pairs = ", ".join(f"{literal(each.name)}, {alias}.{quoted(each.name)}" for each in kept)
        return f"json_build_object({pairs})::text"

    truncated = (
        f"INSERT INTO {_NOTED} (collection, write, noted_at, old)"  # noqa: S608 - names, quoted
        f" SELECT {name}, $1, $2, {as_json(row)} FROM (SELECT {columns(was)} FROM ONLY "
    )
    return f"""
#variable_conflict use_column
DECLARE
    {mark} bigint;
    {at} bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    -- A number of its own for the statement, so that what it changed can be told together.
    {mark} := nextval('{_NOTED}_id_seq');
    IF TG_OP = 'INSERT' THEN
        INSERT INTO {_NOTED} (collection, write, noted_at, new)
        SELECT {name}, {mark}, {at}, {as_json(row)}
        FROM (SELECT {columns(was)} FROM new_rows AS {was}) AS {row};
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO {_NOTED} (collection, write, noted_at, old, new)
        SELECT {name}, {mark}, {at}, {as_json(old)}, {as_json(new)}
        FROM (SELECT {columns(was)} FROM old_rows AS {was}) AS {old}
        FULL JOIN (SELECT {columns(was)} FROM new_rows AS {was}) AS {new} USING ({key}){only_changed};
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {_NOTED} (collection, write, noted_at, old)
        SELECT {name}, {mark}, {at}, {as_json(row)}
        FROM (SELECT {columns(was)} FROM old_rows AS {was}) AS {row};
    ELSE
        EXECUTE {literal(truncated)} || TG_RELID::regclass || {literal(f" AS {was}) AS {row}")}
        USING {mark}, {at};
    END IF;
    PERFORM pg_notify('{CHANNEL}', '');
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    -- A column is gone, a value cannot be written: whoever watches is told that something was missed.
    BEGIN
        INSERT INTO {_NOTED} (collection, write, noted_at) VALUES ({name}, 0, {at});
        PERFORM pg_notify('{CHANNEL}', '');
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'Relais could not note a change of {watched.name}: %', SQLERRM;
    END;
    RETURN NULL;
END
"""  # noqa: S608 - names, quoted


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


_PRESENT_TRIGGERS = r"""
    SELECT t.tgname, t.tgrelid::regclass::text, p.proname, t.tgenabled
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgname LIKE %s AND NOT t.tgisinternal
"""
_PRESENT_FUNCTIONS = r"""
    SELECT p.proname, n.nspname, quote_ident(n.nspname), p.prosrc
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.proname LIKE %s AND n.nspname = current_schema()
"""
_ALWAYS_OR_HERE = ("O", "A")


def present() -> dict[str, Present]:
    """The triggers and functions that there are, by key; triggers first, which need the functions."""
    like = PREFIX.replace("_", r"\_") + "%"
    with connection.cursor() as cursor:
        cursor.execute(_PRESENT_TRIGGERS, [like])
        found = {
            f"trigger {name} on {table}": Present(
                function if enabled in _ALWAYS_OR_HERE else f"{function}, disabled",
                f"DROP TRIGGER {quoted(name)} ON {table}",
                is_disabled=enabled not in _ALWAYS_OR_HERE,
            )
            for name, table, function, enabled in cursor.fetchall()
        }
        cursor.execute(_PRESENT_FUNCTIONS, [like])
        return found | {
            f"function {schema}.{name}": Present(body, f"DROP FUNCTION {schema_name}.{quoted(name)}()")
            for name, schema, schema_name, body in cursor.fetchall()
        }
