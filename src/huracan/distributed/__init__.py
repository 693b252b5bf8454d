"""Many devices and many tasks."""
