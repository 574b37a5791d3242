"""The faults that are planted: each an exact piece of the product's text, what it becomes, and who must see it.

They are the classical faults of SMTP proxies and the ones that this product was tempted to make. A text that is not
found exactly once is an error: a mutant must never go out of date in silence.
"""

from tests.mutants.mutant import Edit, Mutant

_ENUMERATION = "tests/session/enumeration/test_enumeration.py::test_the_contract_holds_whatever_goes_wrong"
SERIAL = f"{_ENUMERATION}[auto_small, serial client, pipelining backend, open=recipient]"
PIPELINED = f"{_ENUMERATION}[auto_small, pipelining client, pipelining backend, open=recipient]"
EARLY = f"{_ENUMERATION}[auto_small, pipelining client, pipelining backend, open=mail]"
STREAM = f"{_ENUMERATION}[stream, serial client, serial backend, open=recipient]"
DISK = f"{_ENUMERATION}[hold_disk, pipelining client, pipelining backend, open=recipient]"
WARM = f"{_ENUMERATION}[auto_small, serial client, warm backend, open=recipient]"
CHUNKS = f"{_ENUMERATION}[stream, serial client, pipelining backend, open=recipient, BDAT]"
HELD_CHUNKS = f"{_ENUMERATION}[hold_disk, serial client, pipelining backend, open=recipient, BDAT]"

_DRIVER = "tests/network/test_driver.py"
_IN_A_CHUNK = "test_backend_that_speaks_inside_a_chunk_has_not_got_it"


def _one(name: str, path: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, (Edit(path, old, new),), tests)


_NO_LAST_GUARD = (
    "session/relay.py",
    "        if c.phase is Phase.SENDING and c.backend.looking and c.dialogue.now >= c.commit_due:\n",
    "        if c.dialogue.now < 0:\n",
)

MUTANTS: tuple[Mutant, ...] = (
    _one(
        "250 without the backend's",
        "session/commit.py",
        '    _decided(k, Fate.UNKNOWN, reply, Heard(k.phrases.say(Own.UNKNOWN_OUTCOME), "protocol"))',
        '    _decided(k, Fate.DELIVERED, reply, Heard(k.phrases.say(Own.NOTHING), "protocol"))',
        SERIAL,
    ),
    Mutant(
        "250 before the commit",
        (
            Edit(
                "session/delivery.py",
                "        c.phase = Phase.SENDING\n",
                "        c.phase = Phase.SENDING\n        _early(c)\n",
            ),
            Edit(
                "session/delivery.py",
                "def send_kept(",
                "def _early(c: Conversation) -> None:\n"
                "    slot = c.slot or c.answers.open('.')\n"
                "    c.settle(slot, c.phrases.say(Own.NOTHING), 'protocol')\n"
                "    c.flush()\n\n\ndef send_kept(",
            ),
        ),
        (SERIAL,),
    ),
    Mutant(
        "commit on close",
        (
            Edit(
                "session/carriage.py",
                "from smtproxy.session.events import CloseBackend,",
                "from smtproxy.session.events import Commit, CloseBackend,",
            ),
            Edit(
                "session/carriage.py",
                "        if self.upstream is not None or self.stand is Stand.OPENING:\n",
                "        if self.stand is Stand.STREAMING:\n"
                '            self.out.append(Commit(b"\\r\\n.\\r\\n"))\n'
                "        if self.upstream is not None or self.stand is Stand.OPENING:\n",
            ),
        ),
        (STREAM,),
    ),
    _one(
        "a stale 250 paired with the dot",
        "session/courier.py",
        "        if event.octets or event.closed or upstream is None or upstream.unread:\n",
        "        if upstream is not None and event.octets and k.job is Job.COMMIT:\n"
        "            commit.try_commit(k)\n"
        "            commit.answered(k, upstream, event.octets)\n"
        "        elif event.octets or event.closed or upstream is None or upstream.unread:\n",
        SERIAL,
    ),
    Mutant(
        "a refused RCPT forwarded",
        (
            Edit(
                "session/judgement.py",
                "    if verdict.drop:\n        for before",
                "    if verdict.stage is Stage.RECIPIENT:\n"
                "        c.group.append(slot)\n"
                "    if verdict.drop:\n        for before",
            ),
            Edit(
                "session/carriage.py",
                "            if slot.answer is None and slot.recipient is not None:\n",
                "            if slot.recipient is not None:\n",
            ),
        ),
        (SERIAL,),
    ),
    _one(
        "a 4xx at the dot becomes 250",
        "session/commit.py",
        '        _decided(k, _FATES[reply.kind], reply, Heard(reply, "backend"))',
        "        kind, said = (2, k.phrases.say(Own.NOTHING)) if reply.kind == 4 else (reply.kind, reply)\n"
        '        _decided(k, _FATES[kind], reply, Heard(said, "backend"))',
        SERIAL,
    ),
    _one(
        "a 4xx at the dot becomes nothing",
        "session/commit.py",
        "    if reply is None or reply.kind not in (2, 4, 5) or",
        "    if reply is not None and reply.kind == 4:\n"
        "        return\n"
        "    if reply is None or reply.kind not in (2, 4, 5) or",
        SERIAL,
    ),
    _one(
        "two replies of the backend swapped",
        "session/slots.py",
        "        return self._awaited.pop(0) if self._awaited else None",
        "        return self._awaited.pop() if self._awaited else None",
        PIPELINED,
    ),
    _one(
        "two answers to the client swapped",
        "session/slots.py",
        "        self.slots = []\n        return slots",
        "        self.slots = []\n        return slots[::-1]",
        PIPELINED,
    ),
    _one(
        "a body line becomes a lone dot",
        "wire/newlines.py",
        '        text = text.replace("\\n.\\n", "\\n..\\n").replace("\\n.\\n", "\\n..\\n")\n',
        "",
        "tests/session/test_intake.py",
    ),
    _one(
        "every second of adjacent lone dots stays",
        "wire/newlines.py",
        '        text = text.replace("\\n.\\n", "\\n..\\n").replace("\\n.\\n", "\\n..\\n")\n',
        '        text = text.replace("\\n.\\n", "\\n..\\n")\n',
        "tests/session/test_intake.py",
    ),
    _one(
        "no look before the commit",
        "session/courier.py",
        "            k.used = k.upstream\n            k.look()\n",
        "            k.used = k.upstream\n"
        "            if job is Job.COMMIT:\n"
        "                commit.try_commit(k)\n"
        "            else:\n"
        "                k.look()\n",
        SERIAL,
    ),
    _one(
        "a client that is gone gets a commit",
        "session/courier.py",
        "            if event.client_gone:\n                return False\n",
        "",
        SERIAL,
    ),
    _one(
        "421 passed on", "session/pairing.py", "    if reply.code == 421:\n", "    if reply.code == 4210:\n", PIPELINED
    ),
    _one(
        "421 to the dot passed on",
        "session/commit.py",
        "    elif reply.code == 421:\n",
        "    elif reply.code == 4210:\n",
        SERIAL,
    ),
    _one(
        "no message line when the client leaves",
        "session/conversation.py",
        "        if self.transaction is not None:\n            self.end_transaction(self._last_",
        "        if self.transaction is not None and by != 'client':\n            self.end_transaction(self._last_",
        SERIAL,
    ),
    _one(
        "the commit line behind the terminator",
        "session/commit.py",
        "    k.out.append(Record(LogEvent.COMMIT, k.commit_fields))\n    k.out.append(Commit(k.terminator))\n",
        "    k.out.append(Commit(k.terminator))\n    k.out.append(Record(LogEvent.COMMIT, k.commit_fields))\n",
        SERIAL,
    ),
    _one(
        "a replay without its last recipient",
        "session/envelope.py",
        "for one in self.recipients if one.accepted]",
        "for one in self.recipients if one.accepted][:1]",
        SERIAL,
    ),
    _one(
        "a commit at a second server",
        "session/courier.py",
        "            case Stand.COMMITTED:\n                commit.unknown(k)\n            case Stand.STREAMING",
        "            case Stand.COMMITTED:\n                k.reopen()\n            case Stand.STREAMING",
        "tests/session/test_courier.py",
        SERIAL,
    ),
    _one(
        "the end of a body at another server than its beginning",
        "session/courier.py",
        "            if job in (Job.BODY, Job.COMMIT):\n",
        "            if job is Job.BODY:\n",
        "tests/session/test_courier.py",
    ),
    _one(
        "a replay of those who were refused",
        "session/envelope.py",
        "for one in self.recipients if one.accepted]",
        "for one in self.recipients if one.reply is not None]",
        "tests/session/test_envelope.py",
    ),
    _one("a commit later than commit_by, behind a slow write", *_NO_LAST_GUARD, SERIAL),
    Mutant(
        "a commit later than commit_by, behind a late verdict",
        (
            Edit("session/delivery.py", "    elif c.dialogue.now >= c.commit_due:\n", "    elif c.dialogue.now < 0:\n"),
            Edit(*_NO_LAST_GUARD),
        ),
        ("tests/session/test_delivery.py",),
    ),
    _one(
        "commit_by counted from when the dot was read",
        "session/body.py",
        "c.octets_since + c.settings.commit_by",
        "c.dialogue.now + c.settings.commit_by",
        "tests/session/test_delivery.py",
    ),
    _one(
        "a parameter taken to a server that has not the extension",
        "session/courier.py",
        "        elif opening.suits(k, upstream):\n",
        "        else:\n",
        "tests/session/test_opening.py",
    ),
    _one(
        "a terminator of which nothing has left, under the timer of a commit",
        "network/driver.py",
        "            whole = len(self._left) == len(octets)\n",
        "            whole = False\n",
        "tests/network/test_driver.py",
    ),
    _one(
        "a refusal told in the log that nobody heard",
        "session/conversation.py",
        "                self.dialogue.envelope.forget(one.recipient)  # the log tells what was heard\n",
        "                pass\n",
        "tests/session/test_relay.py",
    ),
    _one(
        "plain text kept over STARTTLS",
        "session/commands.py",
        "    elif len(c.lines):\n        c.reply(slot, Own.TLS_INJECTED)",
        "    elif False:\n        c.reply(slot, Own.TLS_INJECTED)",
        "tests/session/test_commands.py",
    ),
    _one(
        "a backend's plain text kept over STARTTLS",
        "session/opening.py",
        "        elif upstream.unread:\n",
        "        elif upstream.unread and not upstream.handshake:\n",
        "tests/session/test_opening.py",
    ),
    _one(
        "capabilities of before TLS kept",
        "session/upstream.py",
        "        self.capabilities = HELO_ONLY\n        self._reader",
        "        self._reader",
        "tests/session/test_upstream.py",
    ),
    _one(
        "required TLS given up where the server has none",
        "session/upstream.py",
        "        if self.may_be_clear:\n            return self._finish()\n        self.broken",
        "        if self.server:\n            return self._finish()\n        self.broken",
        "tests/session/test_upstream.py",
    ),
    _one(
        "a client that waits beyond commit_by",
        "session/relay.py",
        "return min(c.backend.deadline, c.commit_due if c.phase is Phase.SENDING else c.session_due)",
        "return min(c.backend.deadline, c.session_due)",
        "tests/session/test_delivery.py",
    ),
    _one(
        "an early 5xx in mid-body lost",
        "session/courier.py",
        '            k.fail_with(Heard(reply, "backend"))\n',
        "            k.fail(Own.BACKEND_NONSENSE)\n",
        STREAM,
    ),
    _one(
        "the wait for the final reply cut short",
        "session/commit.py",
        "    k.deadline = k.dialogue.now + max(END_OF_DATA, k.settings.limits.end_of_data_time)\n",
        "    k.deadline = k.dialogue.now + 300.0\n",
        SERIAL,
    ),
    _one(
        "a shutdown ends the wait for the final reply",
        "session/relay.py",
        "        if event.now and not c.backend.committed:\n",
        "        if event.now:\n",
        SERIAL,
    ),
    _one(
        "a kept body stays for the next message",
        "session/conversation.py",
        "            self.out.append(DropKept())\n",
        "            pass\n",
        DISK,
    ),
    _one(
        "memory that is never given back",
        "session/reception.py",
        "        self._memory.give(self._in_memory - still)\n",
        "",
        SERIAL,
    ),
    _one(
        "an unexpected 250 taken for the go-ahead",
        "session/pairing.py",
        "    if reply.code == 354:\n",
        "    if reply.kind in (2, 3):\n",
        SERIAL,
    ),
    _one(
        "a broken link bounces mail",
        "session/pairing.py",
        "    if reply.code in MISCONFIGURED and not _follows_refusal(k, purpose):\n",
        "    if reply.code == 0:\n",
        SERIAL,
    ),
    _one(
        "a given-up transaction is not reset",
        "session/carriage.py",
        "            self.dirty = self.upstream.worn = True\n",
        "            self.upstream.worn = True\n",
        EARLY,
    ),
    Mutant(
        "an empty message after the backend was lost",
        (
            Edit(
                "session/delivery.py",
                "    elif reception.begun and not c.backend.streaming:\n",
                "    elif reception.started < 0:\n",
            ),
            Edit("session/delivery.py", "        if not reception.begun:\n", "        if not c.backend.streaming:\n"),
        ),
        (STREAM,),
    ),
    _one(
        "a refused message is committed",
        "session/delivery.py",
        "    if isinstance(verdict, Refused):\n        c.courier.abandon()\n",
        "    if isinstance(verdict, Refused) and verdict.drop:\n        c.courier.abandon()\n",
        SERIAL,
    ),
    _one(
        "a commit without a verdict",
        "session/commit.py",
        "    if accepted is None or accepted.stage is not Stage.MESSAGE:\n        k.fail",
        "    if accepted is None:\n        k.fail",
        "tests/session/test_commit.py",
    ),
    _one(
        "a stray reply between commands overlooked",
        "session/courier.py",
        "        if event.octets or event.closed or upstream is None or upstream.unread:\n",
        "        if event.closed or upstream is None or upstream.unread:\n",
        "tests/session/test_courier.py",
    ),
    _one(
        "a connection with a refusal kept warm",
        "session/carriage.py",
        "        if upstream is None or not farewell or upstream.worn or not upstream.messages:\n",
        "        if upstream is None or not farewell or not upstream.messages:\n",
        SERIAL,
    ),
    _one(
        "a stale warm connection costs a mail",
        "session/courier.py",
        "            case Stand.WAITING if k.unproven and not k.retried and k.job in (Job.GROUP, Job.DATA):\n",
        "            case Stand.WAITING if k.unproven and k.retried and k.job in (Job.GROUP, Job.DATA):\n",
        WARM,
    ),
    _one(
        "a crash of a duty accepts",
        "policy/judge.py",
        "    if check.spec.duty:\n        return Action.DEFER\n",
        "",
        "tests/policy/test_judge.py",
    ),
    _one(
        "routes in local parts are taken",
        "policy/checks/recipient_domain.py",
        '_ROUTING = frozenset("@%!")',
        '_ROUTING = frozenset("@!")',
        "tests/policy/checks/test_recipient_domain.py",
    ),
    _one(
        "the ceiling of connections off by one worker",
        "network/ceiling.py",
        "            if sum(page.open) + len(older) + spare >= page.ceiling:\n",
        "            if sum(page.open[1:]) + len(older) + spare >= page.ceiling:\n",
        "tests/network/test_ceiling.py",
    ),
    _one(
        "the quota of a client off by one worker",
        "policy/client_table.py",
        "        return sum(self._counts[start : start + self._workers])\n",
        "        return sum(self._counts[start + 1 : start + self._workers])\n",
        "tests/policy/test_quotas.py",
    ),
    _one(
        "a place that a killed worker takes with it",
        "network/ceiling.py",
        "            self.open[row], self.since[row] = 0, 0.0\n",
        "            self.since[row] = 0.0\n",
        "tests/network/test_ceiling.py",
    ),
    _one(
        "a line of the log in the middle of another worker's",
        "app/log/turns.py",
        "                if whose[0] not in (NOBODY, who):\n",
        "                if False:\n",
        "tests/app/log/test_turns.py",
    ),
    _one(
        "a body with a hole goes on",
        "network/driver.py",
        "            if isinstance(answer, _INTERRUPTIONS) or isinstance(effect, _BODY):\n",
        "            if isinstance(answer, _INTERRUPTIONS):\n",
        f"{_DRIVER}::test_cut_off_between_what_lies_on_disk_and_what_stands_behind_it",
    ),
    _one(
        "last words taken for the answer to a dot that never left",
        "network/driver.py",
        "        events.Commit: _send_terminator,\n",
        "        events.Commit: _send_on,\n",
        f"{_DRIVER}::test_backend_that_speaks_and_is_gone_when_the_terminator_should_leave",
    ),
    _one(
        "a place in the tarpit kept by a session that is over",
        "session/conversation.py",
        "        self.end_delay()\n        if self.transaction is not None:\n",
        "        if self.transaction is not None:\n",
        "tests/network/test_delays.py",
    ),
    _one(
        "LAST before the verdict",
        "session/content.py",
        "        _pass_on(k, compose_bdat(size))\n",
        "        _pass_on(k, compose_bdat(size, last=True))\n",
        CHUNKS,
    ),
    _one(
        "a stray 250 in the middle of a chunk taken for its reply",
        "session/courier.py",
        "            case Stand.WAITING if event.early and k.job is Job.BODY:\n",
        "            case Stand.WAITING if event.early and k.committed:\n",
        CHUNKS,
    ),
    _one(
        "the driver does not tell that a chunk was cut off",
        "network/driver.py",
        "                answer = events.BackendBytes(answer.octets, early=True)\n",
        "                answer = events.BackendBytes(answer.octets)\n",
        f"{_DRIVER}::{_IN_A_CHUNK}",
    ),
    _one(
        "a refused chunk and no RSET",
        "session/content.py",
        "    k.forsake()\n",
        "",
        HELD_CHUNKS,
    ),
    _one(
        "the octets of a refused chunk read as commands",
        "session/chunks.py",
        "    c.discard = Discard(slot, refusal, chunk.size, ",
        "    c.discard = Discard(slot, refusal, 0, ",
        "tests/session/test_chunks.py",
    ),
    _one(
        "commands behind a BDAT that cannot be read",
        "session/chunks.py",
        '    c.finish("bad_chunk", "proxy")\n',
        "    c.flush()\n",
        "tests/session/test_dialogues.py::test_in_one_piece[chunk_malformed]",
    ),
    _one(
        "a body in chunks to a server that knows only the dot",
        "session/envelope.py",
        '            keywords |= {"CHUNKING"}\n',
        "            pass\n",
        "tests/session/test_opening.py",
    ),
    _one(
        "dots of a chunk end a message in DATA",
        "session/intake.py",
        "            self._stuffing = Dots(stuff=True, any_newline=newlines is NewlineMode.NORMALISE)\n",
        "            self._stuffing = Dots(stuff=False)\n",
        "tests/smuggling/test_chunks.py::test_it_is_one_message_for_the_backend_and_its_client",
    ),
    _one(
        "dots behind bare newlines not doubled in a chunk",
        "session/intake.py",
        "Dots(stuff=True, any_newline=newlines is NewlineMode.NORMALISE)",
        "Dots(stuff=True)",
        "tests/smuggling/test_chunks.py::test_no_text_in_chunks_ends_a_message_in_data",
    ),
    _one(
        "a duty lifted by an exemption",
        "policy/judge.py",
        "        if not spec.duty:\n            lifted",
        "        if spec.name:\n            lifted",
        "tests/policy/test_exemptions.py",
    ),
    _one(
        "not knowing passes where it is to defer",
        "policy/judge.py",
        "check.on_error is OnError.PASS",
        "check.on_error is not None",
        "tests/policy/test_judge.py",
    ),
    _one(
        "a check that has gone mad refuses for good",
        "policy/judge.py",
        'applied, because = Action.DEFER, "governor"',
        'applied, because = applied, "governor"',
        "tests/policy/test_judge.py",
    ),
    _one(
        "recipients with other rules share a message",
        "policy/judge.py",
        "        if self._table_for(evidence, first).message != table.message:\n",
        "        if self._base is None:\n",
        "tests/policy/test_judge.py",
    ),
    _one(
        "greylisting hides a duty",
        "policy/judge.py",
        "if stage is Stage.RECIPIENT and action not in _REFUSING and self._greylisting",
        "if stage is Stage.RECIPIENT and self._greylisting",
        "tests/policy/test_greylist.py",
    ),
    _one(
        "who came again is asked to come again",
        "policy/greylist.py",
        'return finding, "came again" if left <= 0 else ""',
        'return finding, ""',
        "tests/policy/test_greylist.py",
    ),
    _one(
        "a list believed without its test points",
        "lookups/fuse.py",
        "not self.off and self._lot_at >= answer.at and trio.current_time() - self._points_at <= FRESH",
        "not self.off",
        "tests/lookups/test_fuse.py",
    ),
    _one(
        "a forged Authentication-Results field passes",
        "wire/authentication_results.py",
        '                if self._is_ours(data[at:stop], bare=end is not None and end[0] != b"\\r\\n"):\n',
        "                if not data:\n",
        "tests/session/test_delivery.py::test_fields_that_claim_to_be_ours_are_taken_out",
    ),
    _one(
        "a message judged whole is streamed",
        "session/body.py",
        "    body = BodyMode.HOLD if transaction.whole and settings.body is BodyMode.AUTO else settings.body\n",
        "    body = settings.body\n",
        "tests/session/test_delivery.py::test_a_field_of_ours_goes_in_front_of_all",
    ),
    _one(
        "an exempt recipient exempts those behind it",
        "policy/judge.py",
        "            if mine is not None and bool(",
        "            if mine is None and bool(",
        "tests/policy/test_judge.py",
    ),
)
