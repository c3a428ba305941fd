"""RFC 6455 on raw TCP: what each way to run Relais says to a peer that keeps the protocol, or breaks it."""
