"""The load driver: customers of many tenants who send requests at fixed rates, answered or not.

It runs in a pod that is no tenant's, with the CPU that it needs; ``e2e.harness.load`` starts it.
"""
