"""The relay: two SMTP dialogues paired under verdicts. Sans-IO: events go in, effects come out; nothing here may block."""
