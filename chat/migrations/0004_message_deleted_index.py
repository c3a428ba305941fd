from django.db import migrations, models

from realtime import AddIndexBesideWriters


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("chat", "0003_departure"),
    ]

    operations = [
        AddIndexBesideWriters(
            model_name="message",
            index=models.Index(
                condition=models.Q(("deleted_seq__isnull", False)),
                fields=["conversation", "deleted_seq"],
                name="chat_message_deleted",
            ),
        ),
    ]
