"""The Autobahn testsuite, the common measure of WebSocket servers: `scripts/autobahn`."""
