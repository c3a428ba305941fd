"""The contract: all frames that the sockets send and understand, as a document made from the code itself."""
