"""What `make bench` measures: the bars of the product, each side by side with its reference in one run."""
