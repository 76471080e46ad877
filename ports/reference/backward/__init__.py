"""The gradient of every op in float64: what a gradient of its output is when pulled back to its inputs."""
