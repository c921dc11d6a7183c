"""The record and the locks, on the fleet itself; the journal, on this controller."""
