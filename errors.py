"""Errors about what a user handed in, as data: which field, which value, what is allowed. A leaf: imports nothing."""


class FieldError(ValueError):
    """A value that is not allowed, in one line: `field: value is not allowed, expected ...`.

    Attributes:
        field: dotted name of the parameter, key or argument, such as `demand.mean`.
        value: what was given.
        expected: what is allowed, as words that follow "expected".
        because: where or why it is not allowed, as words that follow "is not allowed"; often empty.
    """

    def __init__(self, field: str, value, expected: str, because: str = ""):
        self.field, self.value, self.expected, self.because = field, value, expected, because
        super().__init__(str(self))

    def __str__(self) -> str:
        shown = " ".join(f"{self.value!r}".splitlines())[:80]  # arrays have several lines
        return f"{self.field}: {shown} is not allowed{self.because and ' ' + self.because}, expected {self.expected}"

    def __reduce__(self):
        return type(self), (self.field, self.value, self.expected, self.because), self.__dict__

    def inside(self, group: str) -> "FieldError":
        """Return the same error about a field of a group: `mean` inside `demand` is `demand.mean`."""
        return type(self)(f"{group}.{self.field}", self.value, self.expected, self.because)


class Unavailable(RuntimeError):
    """Something outside that work needs, such as an endpoint, does not answer: what was done so far stays."""


class UnknownKeyword(FieldError, TypeError):
    """A keyword argument that there is none of: a TypeError too, as Python's own, which other libraries look for.

    Its text alone also makes one: `gymnasium.make` raises a TypeError anew, with more words.
    """

    def __init__(self, field: str, value=None, expected: str = "", because: str = ""):
        super().__init__(field, value, expected, because)

    def __str__(self) -> str:
        return f"{super().__str__()}: unexpected keyword argument {self.field!r}" if self.expected else self.field
