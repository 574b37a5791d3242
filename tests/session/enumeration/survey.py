"""Walks through a session without a fault and notes the steps it comes to, and the backend connection there."""

from smtproxy.session import events
from smtproxy.session.verdicts import Stage, Verdict
from tests.fakes.laboratory import Laboratory
from tests.session.enumeration.configurations import Configuration
from tests.session.enumeration.play import Played, play
from tests.session.enumeration.schedules import Circumstances, Schedule
from tests.session.enumeration.steps import Step
from tests.session.enumeration.watch import Watch


class Surveyor:
    """Meddles with nothing."""

    def __init__(self, lab: Laboratory, _schedule: Schedule) -> None:
        """Take the laboratory's hooks."""
        self._lab = lab
        self.watch = Watch(lab)
        self.client_left = False
        self.struck = True
        self.memory_taken = 0
        self.reached: dict[Step, Circumstances] = {}
        lab.on_wait, lab.on_judge, lab.on_look, lab.on_write = self._wait, self._judge, self._look, self._write

    def _note(self, step: Step | None) -> None:
        if step is not None and step not in self.reached:
            lab = self._lab
            self.reached[step] = Circumstances(lab.line is not None, lab.relay.recallable_since is not None)

    def _wait(self) -> None:
        self._note(self.watch.at_wait())

    def _judge(self, stage: Stage) -> Verdict:
        self._note(self.watch.at_judge(stage))
        return self._lab.verdict(stage)

    def _look(self, effect: events.Look, seen: events.Looked) -> events.Looked:
        self._note(self.watch.at_look(effect))
        return seen

    def _write(self, effect: events.Effect) -> None:
        self._note(self.watch.at_write(effect))


def survey(configuration: Configuration) -> tuple[Played, dict[Step, Circumstances]]:
    """Play the session without a fault; return it and the steps it came to."""
    surveyors: list[Surveyor] = []

    def witness(lab: Laboratory, schedule: Schedule) -> Surveyor:
        surveyors.append(Surveyor(lab, schedule))
        return surveyors[0]

    played = play(Schedule(configuration), witness)
    return played, surveyors[0].reached
