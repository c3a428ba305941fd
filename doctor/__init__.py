"""The doctor: `manage.py doctor` proves again, on a live database, what must hold of the stored data."""
