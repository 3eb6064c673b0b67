"""How good synthetic rows are, every figure beside its real-vs-real floor."""
