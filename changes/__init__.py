"""Live rows: the changes of any table, told to those who may read them."""
