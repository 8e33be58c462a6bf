"""Replay evaluation of a learning policy on the log of a uniform policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeVar


class Impression(Protocol):
    """An event of the log.

    Attributes:
        shown: index of the candidate that was shown.
        clicked: whether it was clicked.
    """

    @property
    def shown(self) -> int: ...

    @property
    def clicked(self) -> bool: ...


Logged = TypeVar("Logged", bound=Impression)


class ReplayResult(NamedTuple):
    """Counts of a replay.

    Attributes:
        clicks: number of clicks on matched events.
        matched: number of events in which the policy chose the candidate that was shown.
        events: number of events of the log.
    """

    clicks: int
    matched: int
    events: int

    @property
    def rate(self) -> float:
        """Clicks per matched event; NaN without one.

        It is an unbiased estimate of the policy's click rate if the log is uniform.
        """
        return self.clicks / self.matched if self.matched else float("nan")


def replay(
    events: Iterable[Logged],
    choose: Callable[[Logged], int],
    learn: Callable[[Logged], None] = lambda event: None,
) -> ReplayResult:
    """Run a policy on the log of a policy that shows all candidates with equal probability.

    If the policy chooses the candidate that was shown, the event counts and the policy learns from
    it. All other events are skipped. A log of N events with K candidates yields about N / K matched
    events.

    Source: Li, Chu, Langford and Wang, Unbiased Offline Evaluation of Contextual-bandit-based News
    Article Recommendation Algorithms, WSDM 2011, algorithm 3, except that the number of matched
    events is not fixed in advance.

    Args:
        events: events of the log, in time order.
        choose: returns the index of the candidate that the policy chooses for an event.
        learn: called with each matched event.
    """
    clicks = matched = number = 0
    for event in events:
        number += 1
        if choose(event) != event.shown:
            continue
        matched += 1
        clicks += event.clicked
        learn(event)
    return ReplayResult(clicks, matched, number)
