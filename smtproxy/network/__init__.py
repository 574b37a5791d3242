"""The network: listeners, links, the session driver, the backend pool. trio, on bare descriptors."""
