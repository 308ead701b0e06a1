"""How fast this machine renders, learned from what it rendered."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Speed:
    """Wall seconds of a draw for each second of music.

    Attributes:
        step_s: Of one step of the denoiser.
        rest_s: Of all else: conditioning, decoding, measuring, ranking.
    """

    step_s: float
    rest_s: float

    @classmethod
    def of_take(
        cls, begin_s: float, draws_s: Sequence[Sequence[float]], end_s: float, music_s: float
    ) -> "Speed":
        """The speed of one take.

        Args:
            begin_s: When it began, on any clock.
            draws_s: When each step of each of its draws ended; at least one step a draw.
            end_s: When it was finished.
            music_s: Length that was drawn.
        """
        # From draw to draw the sound is decoded and ranked too, which is no step's time.
        gaps_s = [later - step for steps in draws_s for step, later in pairwise(steps)]
        step_s = sum(gaps_s) / len(gaps_s) if gaps_s else draws_s[0][0] - begin_s
        rest_s = max(0.0, end_s - begin_s - sum(map(len, draws_s)) * step_s)
        return cls(step_s / music_s, rest_s / len(draws_s) / music_s)

    def draw_s(self, steps: int, music_s: float) -> float:
        """Wall seconds of a draw."""
        return (steps * self.step_s + self.rest_s) * music_s
