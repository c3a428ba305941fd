"""The tests of Relais: they mirror the packages, `tests/chat/test_services.py` tests `chat/services.py`."""
