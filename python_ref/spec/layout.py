"""Placement of neurons and parameters in the array of lanes, and the slot of a pass in which each is processed.

Neuron o of a layer is in lane o mod L, group ⌊o/L⌋. A group takes F + 1 slots, F the layer's fan-in, its bias first, or max(F + 1, L)
if its layer has several groups, since neurons leave one by one; the slots beyond F + 1 are padding. Slot numbers
count all slots of a pass; word numbers count only those that are not padding, and are the addresses in a lane's memories.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from python_ref.spec.network import Layer, Network

__all__ = ["LayerLayout", "Layout", "Places"]


@dataclass(frozen=True)
class LayerLayout:
    """Placement of one layer in the array.
    Attributes
    ----------
    layer : Layer
        Sizes and activation of the layer that is placed.
    lanes : int
        L, the number of lanes in the array.
    first_slot, first_word, first_group : int
        Number of the layer's first slot, word and group, counted over the pass.
    """

    layer: Layer
    lanes: int
    first_slot: int
    first_word: int
    first_group: int

    @property
    def groups(self) -> int:
        """Number of groups, ⌈n_out/L⌉."""
        return -(-self.layer.n_out // self.lanes)

    @property
    def last_lanes(self) -> int:
        """Number of neurons in the last group."""
        return self.layer.n_out - (self.groups - 1) * self.lanes

    @property
    def group_words(self) -> int:
        """Number of slots of a group that are not padding: F + 1."""
        return self.layer.fan_in + 1

    @property
    def group_slots(self) -> int:
        """Number of slots of a group, padding included."""
        return max(self.group_words, self.lanes) if self.groups > 1 else self.group_words

    def lanes_of(self, group: int) -> int:
        """Return the number of neurons in a group."""
        return self.lanes if group < self.groups - 1 else self.last_lanes


@dataclass(frozen=True)
class Layout:
    """Placement of the whole network in the array.
    Parameters
    ----------
    network : Network
        Network to place, with the sizes of its layers.
    lanes : int
        L, the number of lanes in the array.

    Attributes
    ----------
    parameter_slot, parameter_word, parameter_lane, parameter_neuron, parameter_order : arrays of int64, shape (P,)
        Place of each parameter, in canonical order: layer by layer, neuron by neuron, the bias and then the weights of
        operands 0 … F − 1.
    parameter_place : array of int64, shape (P,)
        Number of the operand that each parameter multiplies, counted over all layers, the bias of a layer before its operands.
    neuron_group, neuron_lane : arrays of int64, shape (neurons,)
        Place of each neuron, layer by layer, neuron by neuron.
    word_layer, word_slot, word_input, word_place, word_lanes : arrays of int64, shape (words,)
        Description of each word of a pass, by its address.
    """

    network: Network
    lanes: int

    @cached_property
    def layers(self) -> tuple[LayerLayout, ...]:
        """The layers, first to last."""
        result, slot, word, group = [], 0, 0, 0
        for layer in self.network.layers:
            placed = LayerLayout(layer, self.lanes, slot, word, group)
            result.append(placed)
            slot += placed.groups * placed.group_slots
            word += placed.groups * placed.group_words
            group += placed.groups
        return tuple(result)

    @property
    def slots(self) -> int:
        """Number N of slots of a pass, padding included."""
        last = self.layers[-1]
        return last.first_slot + last.groups * last.group_slots

    @property
    def words(self) -> int:
        """Depth of a lane's memories: the number of slots of a pass that are not padding."""
        last = self.layers[-1]
        return last.first_word + last.groups * last.group_words

    @property
    def places(self) -> int:
        """Number of operands of all layers, the biases' 1 included: Σ(F + 1), which does not depend on the lanes."""
        return sum(layer.fan_in + 1 for layer in self.network.layers)

    @property
    def groups(self) -> int:
        """Number Γ of groups of a pass."""
        return self.layers[-1].first_group + self.layers[-1].groups

    def _place(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the slot, the word and the lane of each parameter."""
        rows = []
        for placed in self.layers:
            neuron, k = np.meshgrid(np.arange(placed.layer.n_out), np.arange(placed.group_words), indexing="ij")
            group = neuron // self.lanes
            slot = placed.first_slot + group * placed.group_slots + k
            word = placed.first_word + group * placed.group_words + k
            rows.append(np.stack([slot, word, neuron % self.lanes]).reshape(3, -1))
        slots, words, lanes = np.concatenate(rows, axis=1).astype(np.int64)
        return slots, words, lanes

    @cached_property
    def parameter_slot(self) -> np.ndarray:
        """Slot of the pass in which each parameter is processed."""
        return self._place()[0]

    @cached_property
    def parameter_word(self) -> np.ndarray:
        """Address of each parameter in its lane's memories."""
        return self._place()[1]

    @cached_property
    def parameter_lane(self) -> np.ndarray:
        """Lane of each parameter."""
        return self._place()[2]

    @cached_property
    def parameter_place(self) -> np.ndarray:
        """Number of the operand that each parameter multiplies, counted over all layers, the bias of a layer before its operands."""
        rows, first = [], 0
        for layer in self.network.layers:
            rows.append(np.tile(first + np.arange(layer.fan_in + 1), layer.n_out))
            first += layer.fan_in + 1
        return np.concatenate(rows)

    @cached_property
    def parameter_neuron(self) -> np.ndarray:
        """Neuron to which each parameter belongs, counted over all layers."""
        counts = np.concatenate([np.full(layer.n_out, layer.fan_in + 1) for layer in self.network.layers])
        return np.repeat(np.arange(self.network.n_neurons), counts)

    @cached_property
    def neuron_group(self) -> np.ndarray:
        """Group of each neuron, counted over the pass."""
        return np.concatenate([p.first_group + np.arange(p.layer.n_out) // self.lanes for p in self.layers])

    @cached_property
    def neuron_lane(self) -> np.ndarray:
        """Lane of each neuron."""
        return np.concatenate([np.arange(p.layer.n_out) % self.lanes for p in self.layers])

    @cached_property
    def parameter_order(self) -> np.ndarray:
        """Rank of each parameter in hardware order: 0 … P − 1 by slot, then by lane."""
        order = np.empty(self.network.n_parameters, dtype=np.int64)
        order[np.lexsort((self.parameter_lane, self.parameter_slot))] = np.arange(self.network.n_parameters)
        return order

    @cached_property
    def word_layer(self) -> np.ndarray:
        """Layer of each word (shape (words,))."""
        return np.repeat(np.arange(len(self.layers)), [p.groups * p.group_words for p in self.layers])

    @cached_property
    def word_slot(self) -> np.ndarray:
        """Slot of each word (shape (words,))."""
        return np.concatenate(
            [(p.first_slot + np.arange(p.groups)[:, None] * p.group_slots + np.arange(p.group_words)[None, :]).ravel() for p in self.layers]
        )

    @cached_property
    def word_input(self) -> np.ndarray:
        """Operand j of the layer that each word multiplies, −1 for a bias (shape (words,))."""
        return np.concatenate([np.tile(np.arange(-1, p.layer.fan_in), p.groups) for p in self.layers])

    @cached_property
    def word_place(self) -> np.ndarray:
        """Number of the operand that each word multiplies, counted as in :attr:`parameter_place` (shape (words,))."""
        place = np.empty(self.words, dtype=np.int64)
        place[self.parameter_word] = self.parameter_place
        return place

    @cached_property
    def word_lanes(self) -> np.ndarray:
        """Number of lanes that have a neuron at each word (shape (words,))."""
        return np.concatenate([np.repeat([p.lanes_of(g) for g in range(p.groups)], p.group_words) for p in self.layers])


@dataclass(frozen=True)
class Places:
    """Places of the quantities in the lanes of a learner: quantity q is word ⌊q/L⌋ of lane q mod L.

    Its attributes are those of :class:`Layout` that a correlation needs.

    Parameters
    ----------
    quantities : int
        Number N of quantities.
    lanes : int
        Number L of lanes, at most N.
    """

    quantities: int
    lanes: int = 1

    @property
    def slots(self) -> int:
        """Number of slots of a pass, ⌈N/L⌉."""
        return -(-self.quantities // self.lanes)

    @property
    def words(self) -> int:
        """Number of words of a lane, which is the depth of its memories; the last lanes use one less where L does not divide N."""
        return self.slots

    @property
    def last_lanes(self) -> int:
        """Number of lanes with a quantity in the last slot."""
        return self.quantities - (self.slots - 1) * self.lanes

    def words_of(self, lane: int) -> int:
        """Return the number of quantities of a lane."""
        return self.slots - (lane >= self.last_lanes)

    @cached_property
    def parameter_slot(self) -> np.ndarray:
        """Slot of each quantity."""
        return np.arange(self.quantities, dtype=np.int64) // self.lanes

    @property
    def parameter_word(self) -> np.ndarray:
        """Address of each quantity in the memories."""
        return self.parameter_slot

    @cached_property
    def parameter_order(self) -> np.ndarray:
        """Rank of each quantity in hardware order, which is that of their numbers."""
        return np.arange(self.quantities, dtype=np.int64)

    @cached_property
    def word_slot(self) -> np.ndarray:
        """Slot of each word."""
        return np.arange(self.slots, dtype=np.int64)

    @cached_property
    def parameter_lane(self) -> np.ndarray:
        """Lane of each quantity."""
        return np.arange(self.quantities, dtype=np.int64) % self.lanes

    @cached_property
    def word_lanes(self) -> np.ndarray:
        """Number of lanes that have a quantity at each word."""
        return np.where(self.word_slot < self.slots - 1, self.lanes, self.last_lanes)
