"""What is measured. Each module has one function, `measure(bench)`, and says which marks it is about."""
