"""Dashboards show people what lineage measured: promises kept or broken, and what happened to one transaction."""
