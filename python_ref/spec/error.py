"""The one exception a bad design raises: it knows which key is wrong and what to do about it."""

__all__ = ["DesignError"]


class DesignError(ValueError):
    """A design that cannot be built as written.

    Parameters
    ----------
    key : str
        Dotted key of the design file, such as ``"formats.weight"``.
    value : object
        The value found there.
    reason : str
        What is wrong with it, as a clause that follows the value.
    remedy : str
        What the user can do instead, as a full sentence.
    """

    def __init__(self, key: str, value: object, reason: str, remedy: str) -> None:
        self.key = key
        self.value = value
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{key} = {value!r}: {reason}. {remedy}")

    def __reduce__(self) -> tuple:
        return type(self), (self.key, self.value, self.reason, self.remedy)
