"""Tables from which costs of whole populations are looked up."""
