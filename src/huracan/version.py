"""Which version of this package this is."""

__version__ = "0.1.0"
