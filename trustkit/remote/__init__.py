"""What a client talks to: one registry host at a time, its tokens, its trust service and its images."""
