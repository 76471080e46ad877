"""The one family of errors that a user can cause."""


class TwinzooError(Exception):
    """Something the caller can put right: a one-line message, and a table where there is more to show.

    Attributes:
        table: preformatted lines (no trailing newline) to print under the message; empty when there is nothing to add.
        exit_status: what the command line ends with: 2 for wrong use or bad input, 1 for an honest no.
    """

    exit_status = 2

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
    """A conversion that cannot be made as asked."""


class IncompleteConversionError(ConversionError):
    """A conversion that leaves something missing, unused or ambiguous."""

    exit_status = 1


class ParityError(TwinzooError):
    """A comparison that cannot be made as asked."""
