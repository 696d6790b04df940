"""`gradlab.watch` where people already are: one file a framework, each of which is imported by whoever uses it."""
