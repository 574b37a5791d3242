"""The relay: two SMTP dialogues paired under verdicts. Sans-IO: events in, effects out; nothing here may block."""
