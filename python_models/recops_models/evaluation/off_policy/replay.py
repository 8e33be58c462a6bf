"""Replay: a policy that learns is run on the events of a uniform log where both chose alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeVar


class Impression(Protocol):
    """An event of the log.

    Attributes:
        shown: which of the event's candidates, by its place.
        clicked: whether it was.
    """

    @property
    def shown(self) -> int: ...

    @property
    def clicked(self) -> bool: ...


Logged = TypeVar("Logged", bound=Impression)


class Replayed(NamedTuple):
    """What a replay came to.

    Attributes:
        clicks: on events where the policy chose what was shown.
        matched: how many those were.
        events: of the log.
    """

    clicks: int
    matched: int
    events: int

    @property
    def rate(self) -> float:
        """Clicks a matched event: an unbiased estimate of the policy's rate, where the log shows
        every candidate equally likely. NaN where none matched.
        """
        return self.clicks / self.matched if self.matched else float("nan")


def replay(
    events: Iterable[Logged],
    choose: Callable[[Logged], int],
    learn: Callable[[Logged], None] = lambda event: None,
) -> Replayed:
    """Run a policy over the log of one that shows every candidate with one probability.

    Where it chooses what was shown, the click counts and is learnt from; any other event is passed
    over as if it had not been. So a log of N events with K candidates makes a run of about N / K.

    Source: Li, Chu, Langford and Wang, Unbiased Offline Evaluation of Contextual-bandit-based News
    Article Recommendation Algorithms, WSDM 2011, algorithm 3 in spirit: the number of matched
    events is what it is, not fixed beforehand.

    Args:
        events: in the order of time; each tells its candidates to ``choose`` in its own way.
        choose: the place of a candidate.
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
    return Replayed(clicks, matched, number)
