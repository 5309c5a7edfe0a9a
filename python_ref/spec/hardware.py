"""The parameters of the array of lanes, as the section ``[hardware]`` of a design file states them."""

from dataclasses import dataclass, field

from python_ref.spec.digest import UNLESS_DEFAULT

__all__ = ["MAX_LANES", "MAX_SMALL_ARRAY", "Hardware"]

MAX_LANES = 256
"""Maximum number of lanes of a design."""

MAX_SMALL_ARRAY = 8
"""Maximum number of lanes of an array that a small part holds, whose multipliers take factors of 16 bits; those of larger parts take 18."""


@dataclass(frozen=True)
class Hardware:
    """Parameters of the array of lanes.

    Parameters
    ----------
    lanes : int
        Number of lanes L, 1 to 256.
    gradient_memory : bool or None
        Whether each lane has a memory for G; None derives it from the periods.
    signature : bool
        Whether the core computes the running signatures of its observables.
    multipliers_per_lane : int
        Number of multipliers of each lane, 1 or 2. With 2, a lane of node perturbation applies the errors of a presentation while it
        measures the next one. Results are the same.
    single_port : bool
        Whether a lane of node perturbation has its parameters in two memories with one port each, one of the even and one of the odd
        words, since large memories such as those of an iCE40 UP5K have one port. In a network with state, the sums of errors are in two
        such memories instead. Results are the same.
    """

    lanes: int = 4
    gradient_memory: bool | None = None
    signature: bool = True
    multipliers_per_lane: int = field(default=1, metadata={UNLESS_DEFAULT: True})
    single_port: bool = field(default=False, metadata={UNLESS_DEFAULT: True})
