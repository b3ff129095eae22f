"""The one place that imports the Kubernetes client: credentials, connections and a handful of verbs on plain JSON objects."""
