"""What `inference.py` checks, part by part."""
