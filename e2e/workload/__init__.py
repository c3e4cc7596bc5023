"""A pod that uses as much of each resource as it is told: what the operator's own tests, its benchmark and
the demo hold, where no customer is served."""
