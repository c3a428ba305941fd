"""RFC 6455 on raw TCP: the answers of each way to run Relais to peers that keep the protocol, or break it."""
