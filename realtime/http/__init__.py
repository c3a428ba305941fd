"""HTTP: problem documents, client addresses, REST bodies and queries, and pages that belong to no app."""
