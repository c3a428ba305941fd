"""The dialect of the Channels guide's three sockets, with what `relais.v1` adds for clients that opt in."""
