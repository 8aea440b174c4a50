"""The seam to Lava's runtime: its OS processes, built, watched and ended by us. Importing it loads Lava."""

from ..compat import load_lava

load_lava()
