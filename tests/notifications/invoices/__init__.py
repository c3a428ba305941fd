"""An app of a developer who builds on Relais, with a kind of its own."""
