"""Frozen dataclasses for every number that is chosen rather than computed.

One module per subject; all import the standard library only, so that the schema of a
configuration file can be read without loading torch.
"""
