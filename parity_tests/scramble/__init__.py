"""Random networks written twice: the same computation under other names, in other nestings, orders and frameworks."""
