"""What is asked wherever images are pulled: admission to a cluster, a node's runtime, a developer's engine."""
