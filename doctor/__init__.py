"""Examinations of the stored data: `manage.py doctor` proves again, on a live database, what must hold."""
