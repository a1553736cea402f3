"""A policy that adapts: beliefs on demand and supply from few samples, and the best order under them."""
