"""Export of trained rankers as compiled packages, which need only torch and recops."""
