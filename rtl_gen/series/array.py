# amaranth: UnusedElaboratable=no
"""The array of lanes of a network with state, which sum up the gradient of all frames before they update."""

from __future__ import annotations

from amaranth.hdl import Mux

from rtl_gen.presentation.array import NodeArray
from rtl_gen.presentation.layouts import slot_layout
from rtl_gen.presentation.noise import InputNoise

__all__ = ["SeriesArray", "SeriesNoise"]


class SeriesArray(NodeArray):
    """The lanes of a core whose applying pass visits a parameter once in each frame, and updates it in the last one.

    Members
    -------
    slot, ahead : In(slot_layout(spec))
        As in :class:`~rtl_gen.presentation.array.NodeArray`. Each frame begins with the first word.
    """

    def _parameter_read(self, m, before):
        """See :class:`~rtl_gen.presentation.array.NodeArray`. An applying pass begins anew with each frame, so the address must begin when
        that pass reads."""
        (now, _), coming, bank = super()._parameter_read(m, before)
        ahead = Mux(self.applying, before[self.timing.parameter_read], before[self.timing.forward_read])
        return (now, slot_layout(self.spec)(ahead)), coming, bank

    def _updates(self, slot):
        """See :class:`~rtl_gen.presentation.array.NodeArray`."""
        return self.update & slot.final

    def _ends_pass(self, slot):
        """See :class:`~rtl_gen.presentation.array.NodeArray`."""
        return super()._ends_pass(slot) & slot.final

    def _is_shown(self, slot):
        """See :class:`~rtl_gen.presentation.array.NodeArray`: a word is shown in its last visit."""
        return super()._is_shown(slot) & slot.final


class SeriesNoise(InputNoise):
    """The rounding noise of a network with state, which all frames of an applying pass read. A pass begins with its first frame."""

    def _begins(self, slot):
        """See :class:`~rtl_gen.presentation.noise.InputNoise`."""
        return slot.begin & slot.initial
