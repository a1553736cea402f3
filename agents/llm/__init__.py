"""Language models as agents: a chat endpoint, or a local causal model, plays by the tools of `envs.play`. Nothing is
trained.

A local model needs the extra `llm`.
"""

from .params import LLMParams
from .policy import LLMPolicy, acting, check

Params = LLMParams

__all__ = ["LLMParams", "LLMPolicy", "Params", "acting", "check"]
