"""When things of the sample month run: spans of seconds, by the habit that makes them.

Holds the habits (always, by day, with the traffic, until Spot takes the instance). Who has
which habit is in ``story.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.lake.months import Month
from orchestration.sample.world import DAY, HOUR, TRAFFIC, Span, at, dice


class Calendar:
    """Spans of one month."""

    def __init__(self, month: Month) -> None:
        self.month = month
        self.end = len(month.days) * DAY

    def always(self, count: int = 1) -> tuple[Span, ...]:
        """The whole month, so many times."""
        return ((0, self.end),) * count

    def until_end(self, start: int) -> Span:
        """From a moment on."""
        return (start, self.end)

    def days(self, weekdays_only: bool = False) -> list[int]:
        """Days of the month, from 1, all or Monday to Friday."""
        return [
            day.day for day in self.month.days if not (weekdays_only and day.weekday() > 4)
        ]

    def daytime(self, name: str, opens: int, closes: int) -> tuple[Span, ...]:
        """Once every weekday, at about these hours, to the second."""
        chance = dice(self.month, name)
        return tuple(
            (
                at(day, opens) + chance.randrange(2400),
                at(day, closes) + chance.randrange(2400),
            )
            for day in self.days(weekdays_only=True)
        )

    def interrupted(
        self, name: str, start: int, end: int, mean_hours: float
    ) -> tuple[tuple[Span, ...], ...]:
        """Instances that follow each other as Spot takes them away, minutes apart."""
        chance = dice(self.month, name)
        lives: list[tuple[Span, ...]] = []
        while start < end - HOUR:
            hours = mean_hours * (0.4 + 1.2 * chance.random())
            stop = min(end, start + int(hours * HOUR))
            lives.append(((start, stop),))
            start = stop + chance.randrange(240, 2400)
        return tuple(lives)

    def autoscaled(self, name: str, least: int, most: int) -> tuple[Span, ...]:
        """Replicas that follow the day's traffic; the least of them run all month.

        The standing ones are replaced once, by a release in the second week.
        """
        chance = dice(self.month, name)
        release = at(9, 9) + chance.randrange(6 * HOUR)
        shifts: list[Span] = []
        for _ in range(least):
            turn = release + chance.randrange(600)
            shifts += [(0, turn), (turn + 20, self.end)]
        for number in range(least, most):
            needed = (number + 0.5) / most
            hours = [hour for hour in range(24) if TRAFFIC[hour] >= needed]
            for day in self.days():
                shifts.append(
                    (
                        at(day, hours[0]) + chance.randrange(2700),
                        min(self.end, at(day, hours[-1] + 1) + chance.randrange(2700)),
                    )
                )
        return tuple(shifts)

    def scheduled(
        self, name: str, hours: Sequence[int], minutes: int, days: Sequence[int] = ()
    ) -> tuple[Span, ...]:
        """A short run at each of these hours of each day, of about so many minutes."""
        chance = dice(self.month, name)
        shifts = []
        for day in days or self.days():
            for hour in hours:
                start = at(day, hour) + chance.randrange(90)
                length = int(60 * minutes * (0.7 + 0.6 * chance.random()))
                shifts.append((start, min(self.end, start + length)))
        return tuple(shifts)

    def burst(
        self,
        name: str,
        days: Sequence[int],
        opens: int,
        closes: int,
        count: int,
        minutes: int,
    ) -> tuple[Span, ...]:
        """Many short runs, spread over a window of some nights."""
        chance = dice(self.month, name)
        shifts = []
        for day in days:
            for _ in range(count):
                start = at(day, opens) + chance.randrange((closes - opens) * HOUR)
                length = int(60 * minutes * (0.4 + 1.2 * chance.random()))
                shifts.append((start, start + length))
        return tuple(sorted(shifts))
