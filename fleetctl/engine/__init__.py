"""The engine: observes, carries out plans, verifies. It decides nothing that a planner can."""
