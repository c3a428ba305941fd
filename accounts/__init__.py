"""Accounts: users, their sessions, and the one function that turns a credential into an identity."""
