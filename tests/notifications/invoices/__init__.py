"""An app of somebody who builds on Relais, with a kind of its own."""
