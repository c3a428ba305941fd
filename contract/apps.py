"""The Django app of the contract."""

from django.apps import AppConfig


class ContractConfig(AppConfig):
    name = "contract"
