"""Small trainings that fail, each with its repair. `registry.CASES` has them all."""
