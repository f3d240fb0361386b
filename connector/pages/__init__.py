"""Pages for people's eyes: what a run did, told to HR and to the operator. Nothing is decided here.

* ``words``: what every outcome, code, warning and guard means, and who does what about it
* ``report``: the run report as one HTML file, from the same JSON that programs read
"""
