"""What stands in the way of `make up`: each message names the setting or the place first, then the remedy."""


class CannotStart(RuntimeError):
    """Something stands in the way of a start."""


class PortTaken(CannotStart):
    """Another program uses the port; the message says which port to choose."""


class StartFailed(CannotStart):
    """The server ended, or did not answer in time; the message begins with the cause."""


class AlreadyRunning(CannotStart):
    """Another run holds the folder."""


class AccountMissing(CannotStart):
    """PostgreSQL refuses to run as root, and no account without rights is to be had."""


class WheelMissing(CannotStart):
    """The package that carries the server is not installed."""
