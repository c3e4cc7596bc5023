"""The performance-isolation validator: from windows with and without noise to a verdict with its figures.

- ``windows``: what was measured, and in which order it is to be
- ``statistics``: percentiles, ratios and their intervals, the noise floor
- ``latency``: histograms, per tenant and over all
- ``verdict``: whether quiet tenants are isolated from noisy ones, or what can't be told
- ``fairness``: how evenly CPU was shared, against what each was entitled to
- ``charts``: the same for the eye

Pure: no clock, no I/O; chance comes from a seed.
"""
