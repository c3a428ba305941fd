"""The scenarios. Each module has a function `measure(bench)`, and names the marks that it measures."""
