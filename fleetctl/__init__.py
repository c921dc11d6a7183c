"""fleetctl: agentless deployments and load balancing over SSH."""

__version__ = "0.1.0"
