// recops._catalog: the catalogue for Python, numpy arrays across the border. recops/catalog.py wraps it.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <tuple>
#include <utility>

#include "catalog/catalog.h"

namespace py = pybind11;
using recops::catalog::Catalog;

namespace {

using Int64Array = py::array_t<int64_t, py::array::c_style>;

// The array owns the vector's memory.
template <class T>
py::array_t<T> to_numpy(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owned->data();
  const py::capsule owner(owned.get(), [](void* vector) { delete static_cast<std::vector<T>*>(vector); });
  owned.release();
  return py::array_t<T>(std::move(shape), data, owner);
}

void insert_items(Catalog& catalog, const Int64Array& ids, const Int64Array& sids, bool replace) {
  if (ids.ndim() != 1 || sids.ndim() != 2 || sids.shape(0) != ids.shape(0) ||
      sids.shape(1) != static_cast<py::ssize_t>(catalog.depth()))
    throw std::invalid_argument("SidCatalog.insert: item_ids must be [n] and sids [n, " +
                                std::to_string(catalog.depth()) + "]");
  const int64_t *id = ids.data(), *sid = sids.data();
  const auto count = static_cast<size_t>(ids.size());
  const py::gil_scoped_release release;
  catalog.insert(id, sid, count, replace);
}

void remove_items(Catalog& catalog, const Int64Array& ids, bool missing_ok) {
  if (ids.ndim() != 1) throw std::invalid_argument("SidCatalog.remove: item_ids must be [n]");
  const int64_t* id = ids.data();
  const auto count = static_cast<size_t>(ids.size());
  const py::gil_scoped_release release;
  catalog.remove(id, count, missing_ok);
}

std::tuple<int64_t, py::array_t<int64_t>, py::array_t<int32_t>> entries(const Catalog& catalog) {
  recops::catalog::Entries found;
  {
    const py::gil_scoped_release release;
    found = catalog.entries();
  }
  const auto count = static_cast<py::ssize_t>(found.ids.size());
  return {found.version, to_numpy(std::move(found.ids), {count}),
          to_numpy(std::move(found.sids), {count, static_cast<py::ssize_t>(catalog.depth())})};
}

}  // namespace

PYBIND11_MODULE(_catalog, m) {
  m.doc() = "The live semantic-ID catalogue.";
  py::class_<Catalog>(m, "Catalog")
      .def(py::init<std::vector<int64_t>>(), py::arg("vocab_sizes"))
      .def("insert", &insert_items, py::arg("item_ids").noconvert(), py::arg("sids").noconvert(), py::arg("replace"))
      .def("remove", &remove_items, py::arg("item_ids").noconvert(), py::arg("missing_ok"))
      .def("entries", &entries)
      .def_property_readonly("vocab_sizes", &Catalog::vocab_sizes)
      // A reader may wait for a writer, which must be able to go on without the GIL's holder.
      .def_property_readonly("version", py::cpp_function(&Catalog::version, py::call_guard<py::gil_scoped_release>()))
      .def("__len__", &Catalog::size, py::call_guard<py::gil_scoped_release>());
}
