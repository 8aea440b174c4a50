"""Our Lava Processes, each in a package of its own: Lava's compiler executes every file beside a Process.

Their modules import absolutely, because the compiler also executes them outside of their package.
"""

from ..compat import load_lava

load_lava()
