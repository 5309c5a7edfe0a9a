"""Sources of the signs of weight perturbation in a network with state, whose sign vector begins again in every frame."""

from __future__ import annotations

from python_ref.spec.design import DesignSpec
from rtl_gen.perturbation import CountedSigns, RandomSigns, source_of_restarts

__all__ = ["FramedRandomSigns", "sign_source"]


class FramedRandomSigns(RandomSigns):
    """Random signs whose vector begins again in every frame of every perturbed pass of a step, and goes on in the tail.

    So when a pass has ended, the state is that of the next vector, whatever the number of frames.
    """

    @property
    def holds(self) -> bool:
        """See :class:`~rtl_gen.perturbation.RandomSigns`: every step draws its vector more than once."""
        return True

    def begin_vector(self, m, fresh, drawing):
        """See :class:`~rtl_gen.perturbation.RandomSigns`: a vector that has begun is not a new one."""
        with m.If(drawing.slot.begin & drawing.signs):
            m.d.sync += fresh.eq(0)


def sign_source(spec: DesignSpec) -> RandomSigns | CountedSigns:
    """Return the source of signs for the code of a design.

    Raises
    ------
    TypeError
        If there is no source of signs for the code.
    """
    return source_of_restarts(spec, FramedRandomSigns, "rtl_gen.series.weight_signs.sign_source")
