"""How fast this machine renders, learned from what it rendered."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Speed:
    """Wall seconds for each second of music.

    Attributes:
        step_s: Of one step of the denoiser.
        rest_s: Of all else: conditioning, decoding, measuring, ranking.
    """

    step_s: float
    rest_s: float

    @classmethod
    def of_take(
        cls, begin_s: float, steps_s: Sequence[float], end_s: float, music_s: float
    ) -> "Speed":
        """The speed of one take.

        Args:
            begin_s: When it began, on any clock.
            steps_s: When each of its steps ended; at least one.
            end_s: When it was finished.
            music_s: Length that was drawn.
        """
        gaps = len(steps_s) - 1
        step_s = (steps_s[-1] - steps_s[0]) / gaps if gaps else steps_s[0] - begin_s
        rest_s = max(0.0, end_s - begin_s - len(steps_s) * step_s)
        return cls(step_s / music_s, rest_s / music_s)

    def take_s(self, steps: int, music_s: float) -> float:
        """Wall seconds of a take."""
        return (steps * self.step_s + self.rest_s) * music_s
