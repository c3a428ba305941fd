"""The peers: servers that Relais is compared with, in the same run on the same machine."""
