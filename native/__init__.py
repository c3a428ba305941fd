"""The native socket `/ws/`: everything that a user may hear and do, on one connection.

It knows no app. An app adds what can be subscribed to (`feeds.Feed`) and what can be asked (`commands`) in a
module of its own named `native`, which is imported when the apps are ready.
`docs/protocols/native.md` is the wire.
"""
