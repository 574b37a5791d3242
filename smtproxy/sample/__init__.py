r"""The sample backend: a mail server that goes nowhere, embedded for first steps and scripted for tests.

In memory, no sockets, no clock (`actions` are `Send`, `Wait`, `Close`, `Reset`, ... of `actions.py`):

    record = BackendRecord()
    script = Script((Rule(Point.RCPT, (reply("451 4.3.0 later"),), nth=2), Rule(Point.FINAL, (Store(), Close()))))
    backend = SampleDialogue(PROFILES["exchange"], script, "192.0.2.1", record)
    actions = backend.connected()
    actions += backend.feed(b"EHLO mx\r\n")      # and backend.closed(), backend.timer() while backend.waiting

Over sockets (loopback only), in a nursery; or as a process, `python -m smtproxy.sample --help`:

    record = BackendRecord()
    host, port = await nursery.start(serve, PROFILES["exchange"], Script(), record)
    ...
    assert record.containing(b"unique-id") and not record.violations

Two ways to use it, one rule: it shares no code with `smtproxy.wire`, so that it can judge what the proxy sends.
"""
