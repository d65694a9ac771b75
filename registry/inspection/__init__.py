"""Reads a model's files and proposes what they would become: nothing in them runs, and nothing is stored."""

from registry.inspection.code import outputs_by_column
from registry.inspection.inspect import inspect
from registry.inspection.proposal import ModelProposal, ModelRefused, RuntimeMissing

__all__ = ["ModelProposal", "ModelRefused", "RuntimeMissing", "inspect", "outputs_by_column"]
