"""Side-by-side runs against Node's medici and the raw driver; ``python -m benchmarks`` runs them."""
