"""What can go wrong outside the arithmetic: a tool that is missing, a simulation that breaks down."""

from rtl_gen.yosys import ToolError

__all__ = ["CoreError", "SimulationError", "ToolError"]


class SimulationError(RuntimeError):
    """A simulation that could not be built or did not end well; the message says where and what to look at."""


class CoreError(SimulationError):
    """A simulation that ran, in which the core did not do what every core does: it is stuck, or a pass is missing."""
