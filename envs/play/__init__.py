"""An environment as text and tools: what a language model, or a person, plays it by. Derived from the model alone."""

from .desk import Desk, Reply
from .session import Session
from .tools import Board, Tool, tools_of
from .words import briefing, observation_text

__all__ = ["Board", "Desk", "Reply", "Session", "Tool", "briefing", "observation_text", "tools_of"]
