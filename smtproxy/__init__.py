"""A transparent SMTP proxy: relays the dialogue live to the real mail server and never acknowledges a mail of its own accord."""

__version__ = "0.1.0"
