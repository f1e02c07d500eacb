"""The gathering of a worker's messages."""

from __future__ import annotations

from threading import Thread
from typing import Any

from sweep.launch.mailbox import Mailbox
from sweep.launch.messages import Asks, Done, Ended, Evaluated, Message, Reply, RunEngine, Saved, Stepped
from sweep.records.cost import Cost
from sweep.records.trial import EvalPoint, Failed, FailureReason, Step, Verdict

ONE, OTHER = (1, 0), (2, 0)
POINT = EvalPoint(1, 4, 1.0, {"eval/accuracy": 0.5})


def step(number: int, *, logged: bool = False, key: tuple[int, int] = ONE) -> Stepped:
    return Stepped(key, Step(number, 10, 0.1 * number, {"train/loss": 1.0} if logged else {}))


def said(*messages: Message) -> tuple[Message, ...]:
    """Return what the coordinator hears of these messages in one exchange."""
    mailbox = Mailbox(seconds=0.01)
    for message in messages:
        mailbox.tell(message)
    return mailbox.exchange(Reply())


def test_of_steps_without_metrics_the_newest_of_each_trial_is_sent() -> None:
    assert said(step(1), step(1, key=OTHER), step(2), step(3)) == (step(3), step(1, key=OTHER))


def test_every_step_with_metrics_is_sent_in_order() -> None:
    logged = [step(number, logged=True) for number in (1, 2, 3)]
    assert said(*logged) == tuple(logged)
    assert said(step(1), step(2, logged=True), step(3)) == (step(2, logged=True), step(3))


def test_a_step_comes_before_the_evaluation_the_snapshot_and_the_end_that_follow_it() -> None:
    failed = Failed(FailureReason.DIVERGED, "", (), Cost())
    for last in (Evaluated(ONE, POINT), Ended(ONE, failed)):
        assert said(step(3), step(4), last) == (step(4), last)
    assert said(step(4), Saved(ONE, b"x"), step(5)) == (step(4), Saved(ONE, b"x"), step(5))


def test_what_has_to_be_answered_is_sent_at_once_and_what_follows_comes_later() -> None:
    mailbox = Mailbox(seconds=60.0)
    for message in (step(1), Asks(), step(2)):
        mailbox.tell(message)
    assert mailbox.exchange(Reply()) == (step(1), Asks())


def test_an_answer_reaches_the_thread_that_waits_for_it() -> None:
    mailbox, found = Mailbox(seconds=60.0), list[Any]()
    asking = Thread(target=lambda: found.append(mailbox.ask(Evaluated(ONE, POINT))))
    asking.start()
    assert mailbox.exchange(Reply()) == (Evaluated(ONE, POINT),)
    mailbox.seconds = 0.01
    assert mailbox.exchange(Reply(Verdict.PRUNE)) == ()
    asking.join()
    assert found == [Verdict.PRUNE]


def test_verdicts_ride_on_the_next_reply() -> None:
    mailbox = Mailbox(seconds=0.01)
    assert mailbox.verdict(ONE) is Verdict.CONTINUE
    mailbox.exchange(Reply(verdicts={ONE: Verdict.TIME_OUT}))
    assert (mailbox.verdict(ONE), mailbox.verdict(OTHER)) == (Verdict.TIME_OUT, Verdict.CONTINUE)
    mailbox.exchange(Reply(leave=True))
    assert mailbox.verdict(OTHER) is Verdict.INTERRUPT


def test_no_trial_is_asked_for_where_there_is_none() -> None:
    mailbox = Mailbox(seconds=0.01)
    mailbox.exchange(Reply(more=False))
    assert mailbox.next_trial() is None and mailbox.exchange(Reply()) == ()
    mailbox.leaving = True
    assert mailbox.next_trial() is None


def test_the_end_of_an_order_wants_no_answer() -> None:
    mailbox = Mailbox(seconds=0.01)
    mailbox.tell(Done())
    assert mailbox.exchange(Reply()) == (Done(),)
    mailbox.exchange(Reply("not an answer", order=RunEngine()))
    assert mailbox.order() == RunEngine() and mailbox._answers.empty()


def test_the_coordinator_says_how_long_steps_are_gathered() -> None:
    mailbox = Mailbox(seconds=60.0)
    assert mailbox.exchange(Reply(gather=0.01)) == () and mailbox.seconds == 0.01
    assert mailbox.exchange(Reply()) == () and mailbox.seconds == 0.01
