"""HTTP service of the User Interest Center."""
