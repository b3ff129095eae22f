"""From a snapshot to a plan: what every gateway's map should hold and what to say about every resource. Pure functions."""
