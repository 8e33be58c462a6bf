"""Daily loop: a model is updated after every slice of the data, in three ways."""
