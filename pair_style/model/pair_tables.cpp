#include "pair_tables.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

using namespace mlip;

namespace {

constexpr int64_t FEWEST = 2;                      // programs are compiled for two tables and more
constexpr size_t ALIGNMENT = 64;
constexpr int64_t MOST_BYTES = int64_t(4) << 30;

}    // namespace

/* ---------------------------------------------------------------------- */

void PairTableRecord::check(int64_t n_elements) const
{
  const auto n_kinds = static_cast<int64_t>(pairs.size());
  const auto is_kind = [&](int64_t kind) { return kind >= 0 && kind < n_kinds; };
  const auto is_pair = [&](int64_t pair) { return pair >= 0 && pair < n_elements * n_elements; };
  if (static_cast<int64_t>(kind_of_pair.size()) != n_elements * n_elements ||
      !std::all_of(kind_of_pair.begin(), kind_of_pair.end(), is_kind) ||
      !std::all_of(pairs.begin(), pairs.end(), is_pair))
    throw std::runtime_error("the kinds of pairs do not match the elements");
  for (const auto &table : tables)
    if (table.n_values < 1 || table.n_values > MOST_BYTES / 8 || (table.value_bytes != 4 && table.value_bytes != 8))
      throw std::runtime_error("the size of " + table.name + " is out of range");
}

/* ---------------------------------------------------------------------- */

void PairTables::Free::operator()(void *p) const
{
  std::free(p);
}

void PairTables::open(const PairTableRecord &of_model, const Torch &library)
{
  record = &of_model;
  torch = &library;
  n_elements = static_cast<int64_t>(std::llround(std::sqrt(record->kind_of_pair.size())));
  place.assign(record->pairs.size(), -1);
  table_of_pair.assign(record->kind_of_pair.size(), 0);
  for (const auto &shape : record->tables) tables[shape.name].shape = shape;
}

void PairTables::add_maker(const Program *program, const std::vector<std::string> &outputs)
{
  Maker maker{program, {}};
  for (const auto &name : outputs) {
    const auto found = tables.find(name);
    if (found == tables.end()) throw std::runtime_error("the metadata have no table " + name + "; export the model again");
    maker.outputs.push_back(&found->second);
  }
  makers.push_back(maker);
}

/* ---------------------------------------------------------------------- */

void PairTables::require_elements(const std::vector<int64_t> &species)
{
  if (!record) return;
  std::vector<int64_t> kinds;
  for (const int64_t i : species)
    for (const int64_t j : species) kinds.push_back(record->kind_of_pair[i * n_elements + j]);
  require_kinds(kinds);
}

void PairTables::require_edges(int64_t n_edges, const int64_t *species, const int64_t *centre, const int64_t *neighbour)
{
  if (!record) return;
  reserve(FEWEST);    // edges of padding read a table, also where no table was made
  const auto kind = [&](int64_t e) {
    return record->kind_of_pair[species[centre[e]] * n_elements + species[neighbour[e]]];
  };
  bool has_all = true;
  for (int64_t e = 0; e < n_edges && has_all; e++) has_all = place[kind(e)] >= 0;
  if (has_all) return;
  std::vector<int64_t> kinds(n_edges);
  for (int64_t e = 0; e < n_edges; e++) kinds[e] = kind(e);
  require_kinds(kinds);
}

/* ----------------------------------------------------------------------
   tables that are not needed are dropped only if all together would be too large
------------------------------------------------------------------------- */

void PairTables::require_kinds(const std::vector<int64_t> &kinds)
{
  std::vector<int64_t> needed(kinds);
  std::sort(needed.begin(), needed.end());
  needed.erase(std::unique(needed.begin(), needed.end()), needed.end());
  const int64_t n_needed = static_cast<int64_t>(needed.size()), n_most = MOST_BYTES / bytes_of_kind();
  if (n_needed > n_most)
    throw std::runtime_error("the radial tables of " + std::to_string(n_needed) +
                             " kinds of pairs of elements would take " +
                             std::to_string(n_needed * bytes_of_kind() >> 20) + " MB (limit " +
                             std::to_string(MOST_BYTES >> 20) + " MB); use fewer elements, or export the model with "
                             "--dtype mixed or --radial exact");
  const int64_t n_missing =
      std::count_if(needed.begin(), needed.end(), [&](int64_t kind) { return place[kind] < 0; });
  if (n_missing == 0) return;
  if (n_tables() + n_missing > n_most) {
    made.clear();
    std::fill(place.begin(), place.end(), -1);
  }
  const int64_t first = n_tables();
  reserve(std::min(n_most, first + n_needed));
  for (const int64_t kind : needed)
    if (place[kind] < 0) made.push_back(kind);
  try {
    make(first);
  } catch (...) {
    made.resize(first);
    throw;
  }
  for (int64_t k = first; k < n_tables(); k++) place[made[k]] = k;
  for (size_t pair = 0; pair < table_of_pair.size(); pair++)
    table_of_pair[pair] = std::max<int64_t>(0, place[record->kind_of_pair[pair]]);
}

int64_t PairTables::bytes_of_kind() const
{
  int64_t sum = 0;
  for (const auto &entry : tables) sum += entry.second.row_bytes();
  return std::max<int64_t>(sum, 1);
}

void PairTables::reserve(int64_t n)
{
  if (n <= capacity) return;
  const int64_t n_new = std::max({n, FEWEST, std::min(2 * capacity, n + 8)});
  for (auto &entry : tables) {
    Values &table = entry.second;
    const size_t n_bytes = (n_new * table.row_bytes() + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    std::unique_ptr<char, Free> larger(static_cast<char *>(std::aligned_alloc(ALIGNMENT, n_bytes)));
    if (!larger) throw std::bad_alloc();
    std::memset(larger.get(), 0, FEWEST * table.row_bytes());
    if (table.data) std::memcpy(larger.get(), table.data.get(), n_tables() * table.row_bytes());
    table.data = std::move(larger);
  }
  capacity = n_new;
}

/* ----------------------------------------------------------------------
   the tables from ``first`` on, two at a time: a program needs several times the memory of its results
------------------------------------------------------------------------- */

void PairTables::make(int64_t first)
{
  const auto start = std::chrono::steady_clock::now();
  std::vector<double> scratch;
  for (const Maker &maker : makers)
    for (int64_t k = first; k < n_tables(); k += FEWEST) {
      const int64_t n = std::min(FEWEST, n_tables() - k);
      int64_t pairs[FEWEST];
      for (int64_t m = 0; m < FEWEST; m++) pairs[m] = record->pairs[made[k + std::min(m, n - 1)]];
      std::vector<Tensor> inputs;
      inputs.push_back(Tensor::view(*torch, pairs, {FEWEST}, DType::INT64));
      const auto outputs = maker.program->run(std::move(inputs), maker.outputs.size());
      for (size_t out = 0; out < outputs.size(); out++) {
        Values &table = *maker.outputs[out];
        const void *const values = outputs[out].values(scratch, {FEWEST, table.shape.n_values}, dtype_of(table));
        std::memcpy(table.data.get() + k * table.row_bytes(), values, n * table.row_bytes());
      }
    }
  seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/* ---------------------------------------------------------------------- */

bool PairTables::has(const std::string &tensor) const
{
  return record && (tensor == "table_of_pair" || tables.count(tensor) > 0);
}

Tensor PairTables::input(const std::string &tensor) const
{
  if (tensor == "table_of_pair")
    return Tensor::view(*torch, table_of_pair.data(), {static_cast<int64_t>(table_of_pair.size())}, DType::INT64);
  const Values &table = tables.at(tensor);
  const int64_t n_rows = std::max(n_tables(), FEWEST);
  return Tensor::view(*torch, table.data.get(), {n_rows, table.shape.n_values}, dtype_of(table));
}

DType PairTables::dtype_of(const Values &table)
{
  return table.shape.value_bytes == 4 ? DType::FLOAT32 : DType::FLOAT64;
}
