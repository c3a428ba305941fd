"""The contract: what the sockets say and understand, as a document made from the code that does both."""
