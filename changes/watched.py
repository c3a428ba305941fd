"""The rights sources of every app: users, their groups, and the permissions of Django."""

from django.contrib.auth.models import Group

from accounts.models import User
from changes import watch_rights

watch_rights(
    User,
    user="id",
    fields=["is_active", "is_superuser", "is_staff", "username", "email", "first_name", "last_name"],
)
watch_rights(User.groups.through, user="user", fields=["group"])
watch_rights(User.user_permissions.through, user="user", fields=["permission"])
watch_rights(Group, user=None, fields=["name"])
watch_rights(Group.permissions.through, user=None, fields=["group", "permission"])
