"""The fixtures of the tests serve the benchmarks too."""

from tests.conftest import corpus as corpus
from tests.conftest import shared as shared
