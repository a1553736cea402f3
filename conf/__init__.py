"""The Hydra tree as a package: `hydra.searchpath: [pkg://storelab.conf]` in a config of one's own makes it available.

Hydra imports this package when it opens the search path; the schemas that stand first in the files, and the options
that have no file, are made known to it then.
"""

import sys
from importlib import import_module

if "hydra.core.config_store" in sys.modules:
    import_module("storelab.experiments.config.options").register_once()
