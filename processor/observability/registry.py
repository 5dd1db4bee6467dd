"""Every metric that exists, at 0: what the reference page, the rules and the dashboards are held against."""

from prometheus_client import CollectorRegistry

from processor.domain.policy import Policy
from processor.observability.census import Census
from processor.observability.metrics import Metrics


def worker_registry() -> CollectorRegistry:
    """Returns the registry of a worker that has not begun to work."""
    registry = Metrics().registry
    Census(registry, tuple, dict, Policy())
    return registry
