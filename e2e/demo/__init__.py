"""The show: limits that are in the kernel, and quiet tenants beside a noisy one. Run: ``make demo``."""
