// Python module recops._catalog: the catalogue with numpy arrays. recops/catalog.py wraps it.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "catalog/catalog.h"

namespace py = pybind11;
using recops::catalog::Array;
using recops::catalog::Catalog;
using recops::catalog::Snapshot;
using recops::catalog::Tables;

namespace {

template <class T>
using Input = py::array_t<T, py::array::c_style>;
using Int64Array = Input<int64_t>;

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

// Returns the arrays by name without copying. Each keeps the tables' memory alive.
py::dict arrays_of(const std::shared_ptr<const Tables>& tables) {
  const auto shared = [&](const auto* data, int64_t size) {
    using T = std::remove_cv_t<std::remove_pointer_t<decltype(data)>>;
    auto owner = std::make_unique<std::shared_ptr<const Tables>>(tables);
    const py::capsule capsule(owner.get(),
                              [](void* held) { delete static_cast<std::shared_ptr<const Tables>*>(held); });
    owner.release();
    return py::array_t<T>(static_cast<py::ssize_t>(size), data, capsule);
  };
  py::dict arrays;
  arrays["first_child"] = shared(tables->first_child.data(), tables->first_child.size());
  if (tables->wide_tokens)
    arrays["tokens"] = shared(tables->tokens_as<int32_t>(), tables->num_nodes());
  else
    arrays["tokens"] = shared(tables->tokens_as<uint16_t>(), tables->num_nodes());
  arrays["item_ids"] = shared(tables->item_ids.data(), tables->item_ids.size());
  arrays["item_rows"] = shared(tables->item_rows.data(), tables->item_rows.size());
  arrays["id_order"] = shared(tables->id_order.data(), tables->id_order.size());
  return arrays;
}

py::tuple snapshot(const Catalog& catalog) {
  Snapshot found;
  {
    const py::gil_scoped_release release;
    found = catalog.snapshot();
  }
  return py::make_tuple(found.version, found.last_version, arrays_of(found.tables));
}

template <class T>
void copy_into(Array<T>& array, const py::dict& arrays, const char* name) {
  const auto given = py::cast<Input<T>>(arrays[name]);
  if (given.size() != array.size())
    throw std::invalid_argument(std::string("Catalog.restore: ") + name + " is not of the trie's size");
  std::copy_n(given.data(), given.size(), array.data());
}

// Restores a catalogue from trie arrays of these vocabularies, which SidTrie.validate must have checked.
std::unique_ptr<Catalog> restore(const std::vector<int64_t>& vocab_sizes, int64_t history, const py::dict& arrays,
                                 int64_t version, int64_t last_version) {
  const auto first_child = py::cast<Input<int32_t>>(arrays["first_child"]);
  Tables tables = recops::catalog::make_tables(
      recops::catalog::starts_of(first_child.data(), static_cast<int64_t>(vocab_sizes.size())),
      recops::catalog::has_wide_tokens(vocab_sizes));
  copy_into(tables.first_child, arrays, "first_child");
  if (tables.wide_tokens)
    std::copy_n(py::cast<Input<int32_t>>(arrays["tokens"]).data(), tables.num_nodes(), tables.tokens_as<int32_t>());
  else
    std::copy_n(py::cast<Input<uint16_t>>(arrays["tokens"]).data(), tables.num_nodes(), tables.tokens_as<uint16_t>());
  copy_into(tables.item_ids, arrays, "item_ids");
  copy_into(tables.item_rows, arrays, "item_rows");
  copy_into(tables.id_order, arrays, "id_order");
  return std::make_unique<Catalog>(vocab_sizes, history, std::make_shared<const Tables>(std::move(tables)), version,
                                   last_version);
}

}  // namespace

PYBIND11_MODULE(_catalog, m) {
  m.doc() = "The live semantic-ID catalogue.";
  const py::call_guard<py::gil_scoped_release> without_gil;
  py::class_<Catalog>(m, "Catalog")
      .def(py::init<std::vector<int64_t>, int64_t>(), py::arg("vocab_sizes"), py::arg("history"))
      .def_static("restore", &restore, py::arg("vocab_sizes"), py::arg("history"), py::arg("arrays"),
                  py::arg("version"), py::arg("last_version"))
      .def("insert", &insert_items, py::arg("item_ids").noconvert(), py::arg("sids").noconvert(), py::arg("replace"))
      .def("remove", &remove_items, py::arg("item_ids").noconvert(), py::arg("missing_ok"))
      .def("rollback", &Catalog::rollback, py::arg("version"), without_gil)
      .def("snapshot", &snapshot)
      .def_property_readonly("vocab_sizes", &Catalog::vocab_sizes)
      .def_property_readonly("history", &Catalog::history)
      .def_property_readonly("version", py::cpp_function(&Catalog::version, without_gil))
      .def("__len__", &Catalog::size, without_gil);
}
