"""From the rows of a list to prospects: prepared where the list is read, met, sorted out, stored by the lot."""
