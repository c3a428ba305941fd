"""The typing indicator: ephemeral, so it has no models; typists are forgotten by themselves."""
