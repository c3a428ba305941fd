"""The tests of Relais. They mirror the packages: `tests/chat/test_services.py` tests `chat/services.py`."""
