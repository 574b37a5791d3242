"""Floor 5: configuration, command line, logging and the server that puts all other floors together."""
