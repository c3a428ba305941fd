"""The socket of the Directus dialect: signing in, subscriptions to collections, heartbeats."""
