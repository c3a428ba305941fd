"""The Autobahn testsuite, the usual test of WebSocket servers: `scripts/autobahn`."""
