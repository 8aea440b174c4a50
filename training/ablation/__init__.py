"""The ablation grid: each block of MDST++ taken away or exchanged, over several seeds, with intervals."""
