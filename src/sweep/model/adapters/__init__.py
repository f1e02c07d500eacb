"""The adapter methods, one module a method. docs/adapters.md says how to add one.

A module's top level imports neither torch nor PEFT: it is read whenever a config is parsed.
"""

from sweep.config.adapter import AdapterConfig as AdapterConfig
