#include "evaluation.h"

#include <chrono>
#include <cstring>

using namespace mlip;

namespace {

bool begins_with(const std::string &text, const char *start)
{
  return text.rfind(start, 0) == 0;
}

bool has_node_rows(const std::string &tensor)
{
  return begins_with(tensor, "features_") || begins_with(tensor, "feature_gradients_");
}

bool has(const std::vector<std::string> &names, const char *start)
{
  return std::any_of(names.begin(), names.end(), [start](const auto &name) { return begins_with(name, start); });
}

char *row_of(const Features &f, int64_t row)
{
  return static_cast<char *>(f.data) + row * f.width * f.value_bytes;
}

size_t byte_count(const Features &f)
{
  return static_cast<size_t>(f.n_rows * f.width) * f.value_bytes;
}

/* Adds factor(k) times row k of source to row row_of_target(k) of target. */
template <class T, class Row, class Factor>
void add_values(const Features &source, const Features &target, Row row_of_target, Factor factor)
{
  const T *from = static_cast<const T *>(source.data);
  for (int64_t k = 0; k < source.n_rows; k++, from += source.width) {
    T *const to = static_cast<T *>(target.data) + row_of_target(k) * target.width;
    const T share = static_cast<T>(factor(k));
    for (int64_t m = 0; m < source.width; m++) to[m] += share * from[m];
  }
}

template <class Row, class Factor>
void add_rows(const Features &source, const Features &target, Row row_of_target, Factor factor)
{
  if (source.value_bytes == 8)
    add_values<double>(source, target, row_of_target, factor);
  else
    add_values<float>(source, target, row_of_target, factor);
}

}    // namespace

/* Sets widths before any allocation: a rank whose first evaluation fails still takes part in the exchange. */

void Evaluation::open(const Metadata &of_model, const Torch &library)
{
  metadata = &of_model;
  torch = &library;
  global_inputs.clear();
  for (const GlobalInput &input : metadata->global_inputs) global_inputs.push_back(input.default_value);
  feature_dtype = metadata->feature_bytes == 4 ? DType::FLOAT32 : DType::FLOAT64;
  for (size_t t = 0; t < metadata->feature_widths.size(); t++) {
    const std::string layer = std::to_string(t + 1);
    const auto add_tensor = [&](const std::string &name, int64_t width) {
      shape(tensors[name + layer], width, 0);
      if (name.find("gradients") == std::string::npos) return;
      for (Rows &rows : moments[name + layer]) shape(rows, width, 0);
    };
    add_tensor("features_", metadata->feature_widths[t]);
    add_tensor("feature_gradients_", metadata->feature_widths[t]);
    add_tensor("skips_", metadata->skip_widths[t]);
    add_tensor("skip_gradients_", metadata->skip_widths[t]);
    add_tensor("messages_", metadata->message_widths[t]);
  }
  if (metadata->latent_ewald.is_used)
    shape(tensors["messages_" + std::to_string(metadata->n_layers)], metadata->message_widths.back(), 0);
}

void Evaluation::start(const Graph &given, bool needs_moments)
{
  has_moments = needs_moments;
  graph.set(given);
  node_energies.assign(graph.n_local, 0.0);
  edge_gradients.assign(3 * graph.n_edges, 0.0);
  node_properties.assign(metadata->node_properties.size() * graph.n_local, 0.0);
  if (metadata->latent_ewald.is_used) {
    node_charges.assign(graph.n_local, 0.0);
    charge_gradients.assign(graph.n_local, 0.0);
  }
  const auto n_rows = [&](const std::string &name) { return has_node_rows(name) ? graph.n_nodes : graph.n_local; };
  for (auto &[name, rows] : tensors) shape(rows, rows.features.width, n_rows(name));
  if (!has_moments) return;
  edge_moments.assign(9 * graph.n_edges, 0.0);
  for (auto &[name, axes] : moments)
    for (Rows &rows : axes) {
      shape(rows, rows.features.width, n_rows(name));
      clear(rows);
    }
}

void Evaluation::shape(Rows &rows, int64_t width, int64_t n_rows) const
{
  const Features wanted{nullptr, n_rows, width, metadata->feature_bytes};
  rows.features = {nullptr, 0, width, metadata->feature_bytes};    // remains if there is not enough memory
  const size_t n_doubles = (byte_count(wanted) + 7) / 8;
  if (rows.memory.size() < n_doubles) rows.memory.resize(n_doubles + n_doubles / 8);
  rows.features = wanted;
  rows.features.data = rows.memory.data();
}

void Evaluation::clear(Rows &rows) const
{
  std::memset(rows.features.data, 0, byte_count(rows.features));
}

Features Evaluation::without_phantoms(const Features &all) const
{
  Features result = all;
  result.data = row_of(all, graph.n_phantoms);
  result.n_rows -= graph.n_phantoms;
  return result;
}

Features Evaluation::moment_rows(const std::string &tensor, int axis) const
{
  return without_phantoms(moments.at(tensor)[axis].features);
}

Results Evaluation::results() const
{
  const int64_t n_properties = static_cast<int64_t>(metadata->node_properties.size());
  return {node_energies.data() + graph.n_phantoms, edge_gradients.data(), has_moments ? edge_moments.data() : nullptr,
          n_properties > 0 ? node_properties.data() + n_properties * graph.n_phantoms : nullptr};
}

void Evaluation::take_potentials(const std::vector<double> &potentials)
{
  for (size_t i = 0; i < potentials.size(); i++) {
    const size_t row = graph.n_phantoms + i;
    charge_gradients[row] = potentials[i];
    node_energies[row] += 0.5 * node_charges[row] * potentials[i];
    node_properties[row] = node_charges[row];
  }
}

int64_t Evaluation::count_chunks() const
{
  return graph.n_local / std::max(metadata->chunk_atoms, 2 * MIN_SIZE) + 1;
}

/* Runs a program on all owned atoms, chunk by chunk. Chunks of a program that takes features have the rows of their own
   neighbours only: what it does to each row would otherwise be repeated for all nodes in every chunk. */

void Evaluation::run(NamedProgram &entry)
{
  const auto start = std::chrono::steady_clock::now();
  const int64_t n_chunks = count_chunks();
  const bool is_compact = has(entry.inputs, "features_") && (n_chunks > 1 || has_moments);
  if (is_compact)
    for (const auto &tensor : entry.outputs)
      if (begins_with(tensor, "feature_gradients_")) clear(tensors.at(tensor));
  const int n_calls = has_moments && has(entry.inputs, "energy_weights") ? 4 : 1;
  chunk.restart();
  for (int64_t k = 1; k <= n_chunks; k++) {
    chunk.advance(graph, k * graph.n_local / n_chunks, *metadata, is_compact);
    for (int n = 0; n < n_calls; n++) call(entry, PLAIN + n);
  }
  entry.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void Evaluation::call(const NamedProgram &entry, int axis)
{
  weights.assign(chunk.n_centres(), 1.0);
  if (axis != PLAIN)
    for (int64_t k = 0; k < chunk.n_centres(); k++) weights[k] = offset(chunk.begin + k, axis);
  std::vector<Tensor> inputs;
  for (const auto &tensor : entry.inputs) inputs.push_back(input(tensor, axis));
  auto outputs = entry.program->run(std::move(inputs), entry.outputs.size());
  for (size_t k = 0; k < outputs.size(); k++) take(std::move(outputs[k]), entry.outputs[k], axis);
}

/* x_n - x_o. The origin is the middle of the chunk, and a phantom only if there is no atom. */

double Evaluation::offset(int64_t node, int axis) const
{
  return graph.positions[3 * node + axis] - graph.positions[3 * ((chunk.begin + chunk.end) / 2) + axis];
}

/* ---------------------------------------------------------------------- */

Tensor Evaluation::view(const void *data, const std::vector<int64_t> &shape, DType dtype) const
{
  return Tensor::view(*torch, data, shape, dtype);
}

Tensor Evaluation::input(const std::string &tensor, int axis)
{
  const int64_t n_centres = chunk.n_centres(), n_edges = chunk.n_padded();
  if (tensor == "centre_species") return view(graph.species + chunk.begin, {n_centres}, DType::INT64);
  if (tensor == "species") return view(graph.species, {graph.n_nodes}, DType::INT64);
  if (tensor == "edge_centre") return view(chunk.centre.data(), {n_edges}, DType::INT64);
  if (tensor == "edge_neighbour") return view(chunk.neighbour.data(), {n_edges}, DType::INT64);
  if (tensor == "edge_species") return view(neighbour_species(), {n_edges}, DType::INT64);
  if (tensor == "edge_vectors") return view(chunk.vectors, {n_edges, 3}, DType::FLOAT64);
  if (tensor == "angle_edges") return view(chunk.angle_edges.data(), {chunk.n_angles(), 2}, DType::INT64);
  if (tensor == "global_inputs")
    return view(global_inputs.data(), {static_cast<int64_t>(global_inputs.size())}, DType::FLOAT64);
  if (tensor == "charge_gradients") return view(charge_gradients.data() + chunk.begin, {n_centres}, DType::FLOAT64);
  if (tensor == "energy_weights") return view(weights.data(), {n_centres}, DType::FLOAT64);
  if (pair_tables.has(tensor)) return pair_tables.input(tensor);

  const Features &all = tensors.at(tensor).features;
  if (begins_with(tensor, "features_")) {
    if (!chunk.is_compact) return view(all.data, {graph.n_nodes, all.width}, feature_dtype);
    return view(gather(all), {static_cast<int64_t>(chunk.rows.size()), all.width}, feature_dtype);
  }
  const bool is_weighted = axis != PLAIN && moments.count(tensor);
  const void *rows = is_weighted ? weigh(tensor, all, axis) : centre_rows(all).data;
  return view(rows, {n_centres, all.width}, feature_dtype);
}

/* Of the chunk's edges; those of padding have any species. */

const int64_t *Evaluation::neighbour_species()
{
  edge_species.assign(chunk.n_padded(), 0);
  for (int64_t e = 0; e < chunk.n_edges; e++) edge_species[e] = graph.species[graph.edge_neighbour[chunk.edge + e]];
  return edge_species.data();
}

/* The rows of a compact chunk, one after the other. */

const void *Evaluation::gather(const Features &all)
{
  shape(gathered, all.width, static_cast<int64_t>(chunk.rows.size()));
  const int64_t row_bytes = all.width * all.value_bytes;
  for (size_t k = 0; k < chunk.rows.size(); k++)
    std::memcpy(row_of(gathered.features, static_cast<int64_t>(k)), row_of(all, chunk.rows[k]), row_bytes);
  return gathered.features.data;
}

/* Gradients of energies weighted by x_i - x_o: moments relative to the node plus (x_n - x_o) times gradients. */

const void *Evaluation::weigh(const std::string &tensor, const Features &all, int axis)
{
  const Features gradients = centre_rows(all), relative = centre_rows(moments.at(tensor)[axis].features);
  Rows &result = weighted[tensor];
  shape(result, all.width, chunk.n_centres());
  std::memcpy(result.features.data, relative.data, byte_count(relative));
  add_rows(gradients, result.features, [](int64_t k) { return k; }, [&](int64_t k) { return weights[k]; });
  return result.features.data;
}

/* The rows of the chunk's centres. */

Features Evaluation::centre_rows(const Features &all) const
{
  Features result = all;
  result.data = row_of(all, chunk.begin);
  result.n_rows = chunk.n_centres();
  return result;
}

/* ---------------------------------------------------------------------- */

void Evaluation::take(Tensor &&tensor, const std::string &name, int axis)
{
  if (name == "node_energies" || name == "charges") {
    if (axis != PLAIN) return;
    std::vector<double> &sums = name == "charges" ? node_charges : node_energies;
    const auto *const values =
        static_cast<const double *>(tensor.values(scratch, {chunk.n_centres()}, DType::FLOAT64));
    for (int64_t k = 0; k < chunk.n_centres(); k++) sums[chunk.begin + k] += values[k];
  } else if (name == "edge_gradients") {
    take_edge_gradients(tensor, axis);
  } else if (name == "node_properties") {
    if (axis == PLAIN) take_node_properties(tensor);
  } else if (chunk.is_compact && (begins_with(name, "feature_gradients_") || (has_moments && moments.count(name)))) {
    take_gradients(tensor, name, axis);
  } else {
    const Features &all = tensors.at(name).features;
    if (begins_with(name, "feature_gradients_"))
      tensor.copy_to(all.data, {graph.n_nodes, all.width}, feature_dtype);
    else
      tensor.copy_to(row_of(all, chunk.begin), {chunk.n_centres(), all.width}, feature_dtype);
  }
}

void Evaluation::take_edge_gradients(const Tensor &tensor, int axis)
{
  const auto *const gradients =
      static_cast<const double *>(tensor.values(scratch, {chunk.n_padded(), 3}, DType::FLOAT64));
  if (axis == PLAIN)
    for (int64_t k = 0; k < 3 * chunk.n_edges; k++) edge_gradients[3 * chunk.edge + k] += gradients[k];
  if (!has_moments) return;
  for (int64_t e = 0; e < chunk.n_edges; e++)
    for (int a = 0; a < 3; a++) {
      if (axis != PLAIN && axis != a) continue;
      const double factor = axis == PLAIN ? -offset(chunk.begin + chunk.centre[e], a) : 1.0;
      double *const moment = &edge_moments[9 * (chunk.edge + e) + 3 * a];
      for (int b = 0; b < 3; b++) moment[b] += factor * gradients[3 * e + b];
    }
}

void Evaluation::take_node_properties(const Tensor &tensor)
{
  const auto n_properties = static_cast<int64_t>(metadata->node_properties.size());
  const auto *const values =
      static_cast<const double *>(tensor.values(scratch, {chunk.n_centres(), n_properties}, DType::FLOAT64));
  std::copy_n(values, chunk.n_centres() * n_properties, node_properties.begin() + chunk.begin * n_properties);
}

/* Gradients of features (rows of the compact chunk) or of skips (its centres). */

void Evaluation::take_gradients(const Tensor &tensor, const std::string &name, int axis)
{
  Rows &all = tensors.at(name);
  const bool has_nodes = has_node_rows(name);
  const int64_t width = all.features.width;
  const int64_t n_rows = has_nodes ? static_cast<int64_t>(chunk.rows.size()) : chunk.n_centres();
  const void *const values = tensor.values(scratch, {n_rows, width}, feature_dtype);
  const Features received{const_cast<void *>(values), n_rows, width, metadata->feature_bytes};
  if (axis != PLAIN) return add(received, moments.at(name)[axis], has_nodes, PLAIN);
  if (has_nodes)
    add(received, all, has_nodes, PLAIN);
  else
    std::memcpy(row_of(all.features, chunk.begin), received.data, byte_count(received));
  if (has_moments)
    for (int a = 0; a < 3; a++) add(received, moments.at(name)[a], has_nodes, a);
}

/* Adds the chunk's rows to those of all nodes; with an axis, minus the plain rows times x_n - x_o. */

void Evaluation::add(const Features &from, const Rows &to, bool has_nodes, int less_axis) const
{
  const auto row = [&](int64_t k) { return has_nodes ? chunk.rows[k] : chunk.begin + k; };
  add_rows(from, to.features, row, [&](int64_t k) { return less_axis == PLAIN ? 1.0 : -offset(row(k), less_axis); });
}
