#include <pybind11/pybind11.h>

PYBIND11_MODULE(_catalog, m) { m.doc() = "The live semantic-ID catalogue."; }
