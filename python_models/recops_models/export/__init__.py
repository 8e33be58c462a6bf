"""Trained rankers as packages that run without their Python code, on torch and recops alone."""
