"""Schema revisions, run by ``Database.upgrade`` from inside the installed package."""
