"""What a server's processes write to their log: a line with its time, in which personal data is masked."""

import logging

from ...data.masking import mask


class Masked(logging.Formatter):
    """A formatter that masks personal data, in tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def begin() -> None:
    """Write all loggers' lines, and warnings, to stderr, masked."""
    handler = logging.StreamHandler()
    handler.setFormatter(Masked("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
