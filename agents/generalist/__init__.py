"""One policy over families of problems, pre-trained: it needs neither training nor tuning (see `generalist`)."""

from .policy import RANGES, generalist, pretrained

__all__ = ["RANGES", "generalist", "pretrained"]
