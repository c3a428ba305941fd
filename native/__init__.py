"""The native socket `/ws/`: everything that a user may receive and do, on one connection.

It knows no app. An app adds feeds (`feeds.Feed`) and commands (`commands`) in a module of its own named
`native`, which is imported when the apps are ready. `docs/protocols/native.md` describes the wire.
"""
