"""Stress: that this process has too much to do, as its sessions see it, and what they put up with less then.

One of it for all sessions of a process, as `memory.py` and `tarpit.py` are. Who finds out is `policy/overload.py`; a
session only reads, whenever it asks how long to wait for a command. Bodies on their way keep their time: they are mail.
"""


class Stress:
    """Whether it is on, and the patience with strangers then."""

    __slots__ = ("command_time", "on")

    def __init__(self, command_time: float) -> None:
        """Be off. `command_time`: seconds a client without a good record may take for a command while it is on."""
        self.command_time = command_time
        self.on = False
