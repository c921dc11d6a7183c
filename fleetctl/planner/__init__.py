"""The planner: pure and deterministic. What is + what is wanted = the steps between."""
