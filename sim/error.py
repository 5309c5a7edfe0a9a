"""What can go wrong outside the arithmetic: a tool that is missing, a simulation that breaks down."""

__all__ = ["SimulationError", "ToolError"]


class SimulationError(RuntimeError):
    """A simulation that could not be built or did not end well; the message says where and what to look at."""


class ToolError(RuntimeError):
    """A tool that is missing or refuses to work.

    Parameters
    ----------
    tool : str
        Its name.
    reason : str
        What is wrong, as a clause that follows the name.
    remedy : str
        What the user can do, as a full sentence.
    """

    def __init__(self, tool: str, reason: str, remedy: str) -> None:
        self.tool = tool
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{tool}: {reason}. {remedy}")

    def __reduce__(self) -> tuple:
        return type(self), (self.tool, self.reason, self.remedy)
