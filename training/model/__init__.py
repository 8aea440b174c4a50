"""MDST and MDST++ as one model of switchable blocks; `docs/mdst.md` lists every equation and its source."""
