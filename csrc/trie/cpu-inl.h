// Kernel body, compiled once per instruction set.
