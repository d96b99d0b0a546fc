"""The conformance kit for algorithms: `check_algorithm`, one line of test for everybody who writes one."""

from hfmeta.testing.cases import MODELS
from hfmeta.testing.kit import ConformanceReport, check_algorithm
from hfmeta.testing.promises import ConformanceError

__all__ = ["MODELS", "ConformanceError", "ConformanceReport", "check_algorithm"]
