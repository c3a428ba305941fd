"""The Directus dialect: what `@directus/sdk` and its like expect of a server, over HTTP and a WebSocket."""
