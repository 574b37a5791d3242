"""Finds the rule of a script that is due: by the number of times a point was reached, or by the number of an octet.

It counts and finds; it must never perform a step, nor say anything itself.
"""

from smtproxy.sample.script import Point, Rule, Script


class Rulebook:
    """The script as one connection sees it."""

    def __init__(self, script: Script, connection: int) -> None:
        self._rules = script.for_connection(connection)
        self._counts: dict[tuple[Point, int], int] = {}
        self._received = self._by_octets(Point.RECEIVED)
        self._sent = self._by_octets(Point.SENT)
        self._body = self._by_octets(Point.BODY)
        self._body_transaction = 0

    def at(self, point: Point, transaction: int) -> Rule | None:
        """The rule for this point, which is reached once more."""
        if not self._rules:
            return None
        key = (point, transaction if point in {Point.RCPT, Point.CHUNK} else 0)
        self._counts[key] = count = self._counts.get(key, 0) + 1
        for rule in self._rules:
            if rule.at is point and rule.nth in {None, count} and _fits(rule, transaction):
                return rule
        return None

    def received(self, octets: int) -> int | None:
        """How many octets may still come, after so many, until a rule is due; None: there is none."""
        return max(0, self._received[0].octets - octets) if self._received else None

    def sent(self, octets: int) -> int | None:
        """The same for octets sent."""
        return max(0, self._sent[0].octets - octets) if self._sent else None

    def body(self, octets: int, transaction: int) -> int | None:
        """The same for octets of this transaction's content."""
        if self._body_transaction != transaction:
            self._body_transaction, self._body = transaction, self._by_octets(Point.BODY)
        while self._body and not _fits(self._body[0], transaction):
            self._body.pop(0)
        return max(0, self._body[0].octets - octets) if self._body else None

    def take(self, point: Point) -> Rule:
        """The rule that `received`, `sent` or `body` said is due now; it is not due again."""
        return {Point.RECEIVED: self._received, Point.SENT: self._sent, Point.BODY: self._body}[point].pop(0)

    def _by_octets(self, point: Point) -> list[Rule]:
        return sorted((rule for rule in self._rules if rule.at is point), key=lambda rule: rule.octets)


def _fits(rule: Rule, transaction: int) -> bool:
    return not rule.transactions or transaction in rule.transactions
