"""RFC 6455 on raw TCP: how each way to run Relais answers peers that keep the protocol, or break it."""
