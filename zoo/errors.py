"""The one family of errors that a user can cause."""


class TwinzooError(Exception):
    """Something the caller can put right: a one-line message, and a table where there is more to show.

    Attributes:
        table: preformatted lines (no trailing newline) to print under the message; empty when there is nothing to add.
    """

    def __init__(self, message: str, table: str = "") -> None:
        super().__init__(message)
        self.table = table


class SpecError(TwinzooError):
    """A model, loss or option that cannot be drawn as asked."""


class PortError(TwinzooError):
    """A framework that is missing, or that cannot do what was asked on this machine."""


class CheckpointError(TwinzooError):
    """A checkpoint file that cannot be read or written."""


class ConversionError(TwinzooError):
    """A conversion that is incomplete or ambiguous."""


class ParityError(TwinzooError):
    """A comparison that cannot be made as asked."""
