"""The Django app of the doctor."""

from django.apps import AppConfig


class DoctorConfig(AppConfig):
    name = "doctor"
