"""MDST and MDST++ as one model of switchable blocks; `docs/mdst.md` lists every equation and its source."""

from .config import ModelConfig
from .mdst import EMBEDDINGS, MDST, from_config, make_deployment, to_config
from .reasoning import Heads

__all__ = ["EMBEDDINGS", "MDST", "Heads", "ModelConfig", "from_config", "make_deployment", "to_config"]
