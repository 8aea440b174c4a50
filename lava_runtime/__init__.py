"""Integer and float graphs on Lava: one process per node, or one fused process; always ends."""
