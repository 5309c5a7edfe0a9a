"""What every host of a test does alike to a core and to its model: it accesses registers and memories, and sets counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from python_ref.spec.learning import LearningSpec
from python_ref.spec.probes import COUNTERS
from python_ref.spec.registers import Command, Memory, register_map
from sim import host

__all__ = ["COUNTER_LIMITS", "HostedCore"]

COUNTER_LIMITS = np.array([(1 << (64 if name in ("writes", "changed") else 32)) - 1 for name in COUNTERS], dtype=np.uint64)
"""Values at which the counters stop, in the order of ``COUNTERS``."""


class HostedCore:
    """A core, and its model, to which a host does the same.

    Attributes
    ----------
    spec : LearningSpec
        Design of the core.
    link : BenchLink or BenchReplay
        What takes the requests of the host.
    state : State or LearnerState
        Present state of the model.
    presets : array of uint64, shape (len(COUNTERS),)
        Values that the test bench has set the counters to, on top of which those of the model count.
    """

    spec: LearningSpec
    link: Any
    state: Any
    presets: np.ndarray

    def counters(self) -> np.ndarray:
        """Counters that the core must have (uint64, shape (len(COUNTERS),)): those of the model, on top of what was preset."""
        return np.minimum(self.presets + self.state.counters.astype(np.uint64), COUNTER_LIMITS)

    def load(self, parameters: np.ndarray) -> None:
        """Write all parameters."""
        host.load_parameters(self.spec, self.link, parameters)
        self.state = self.state.with_load(parameters)

    def load_learned(self, memory: Memory, values: np.ndarray) -> None:
        """Write G or the optimiser's state."""
        host.load_memory(self.spec, self.link, memory, values)
        name, values = memory.name.lower(), values.astype(np.int64)
        changed = {"gradient": values} if memory is Memory.GRADIENT else {"optimizer": self.state.optimizer | {name: values}}
        self.state = replace(self.state, **changed)

    def preset(self, values: Mapping[str, int]) -> None:
        """Let a test bench set counters, which are 0; a core that is idle writes them back as they are."""
        built = register_map(self.spec)
        for _ in range(3):  # a row that the core is writing at this moment keeps its value
            for name, value in values.items():
                for half in range(2 * built[name].words):
                    self.link.preset(2 * built[name].address + half, value >> 16 * half & 0xFFFF)
            self.link.read(built["magic"].address)
        self.presets = np.array([values.get(name, 0) for name in COUNTERS], dtype=np.uint64)

    def read(self, name: str) -> int:
        """Read a register."""
        return host.read_register(self.spec, self.link, name)

    def write(self, name: str, value: int) -> None:
        """Write a register."""
        host.write_register(self.spec, self.link, name, value)

    def command(self, command: Command) -> None:
        """Give a command."""
        self.write("command", command)
