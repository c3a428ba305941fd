from django.db import migrations, models

from realtime import AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("changes", "0001_noted_changes"),
    ]

    operations = [
        AddIndexBesideWriters(
            model_name="notedchange",
            index=models.Index(
                condition=models.Q(("collection__startswith", "$")),
                fields=["id"],
                name="changes_noted_of_rights",
            ),
        ),
    ]
