"""The tests, and the local tenant that they share with the demo."""
