"""``kubectl tenantquota``: kubectl finds the program ``kubectl-tenantquota`` on the PATH."""
