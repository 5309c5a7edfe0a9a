"""Sources of the signs of a learner, in which a sign vector may begin more than once in a step."""

from __future__ import annotations

from amaranth.hdl import Mux

from python_ref.spec.learner import LearnerSpec
from rtl_gen.perturbation import CountedSigns, RandomSigns, leap, leap_by, source_of_restarts

__all__ = ["RepeatedRandomSigns", "sign_source"]


class RepeatedRandomSigns(RandomSigns):
    """Random signs whose vector begins again in every perturbed pass until its step is done: the second pass of a two-sided step, and an
    abandoned step that is repeated, have the same signs.

    The generator draws a bit for each quantity, so that all lanes take bits of one state, and the last slot draws fewer where the lanes do
    not divide the quantities.
    """

    def begin_vector(self, m, fresh, drawing):
        """See :class:`~rtl_gen.perturbation.RandomSigns`: a vector that has begun is not a new one."""
        with m.If(drawing.slot.begin & drawing.signs):
            m.d.sync += fresh.eq(0)

    def drawn(self, generator, bits):
        """See :class:`~rtl_gen.perturbation.RandomSigns`."""
        return bits[: self.spec.hardware.lanes]

    def following_state(self, generator, state, loads, pushed, drawing):
        """See :class:`~rtl_gen.perturbation.RandomSigns`."""
        lanes, last = self.spec.hardware.lanes, self.spec.layout.last_lanes
        if lanes == 1:
            return super().following_state(generator, state, loads, pushed, drawing)
        several = leap_by(state, lanes) if last == lanes else Mux(drawing.slot.last, leap_by(state, last), leap_by(state, lanes))
        return Mux(loads, leap(generator, state, 1, pushed), several)


def sign_source(spec: LearnerSpec) -> RandomSigns | CountedSigns:
    """Return the source of signs for the code of a learner.

    Raises
    ------
    TypeError
        If there is no source of signs for the code.
    """
    return source_of_restarts(spec, RepeatedRandomSigns, "rtl_gen.learner.signs.sign_source")
