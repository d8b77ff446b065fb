#include "committee.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <stdexcept>

namespace mlip {

/* ---------------------------------------------------------------------- */

void Committee::open(const std::string &path, const std::string &torch_dir, int n_threads)
{
  Member member;
  member.path = path;
  member.model = Model::open(path, torch_dir, n_threads);
  members.push_back(std::move(member));
}

/* ---------------------------------------------------------------------- */

void Committee::set_threads(int n_threads)
{
  for (Member &member : members) member.model->set_threads(n_threads);
}

/* ---------------------------------------------------------------------- */

bool Committee::has_latent_charges() const
{
  return std::any_of(members.begin(), members.end(),
                     [](const Member &member) { return member.model->metadata().latent_ewald.is_used; });
}

/* ---------------------------------------------------------------------- */

bool Committee::knows(int k, const std::string &symbol) const
{
  const std::vector<std::string> &known = metadata(k).elements;
  return std::find(known.begin(), known.end(), symbol) != known.end();
}

/* ---------------------------------------------------------------------- */

void Committee::name_kinds(const std::vector<std::string> &symbols)
{
  for (Member &member : members) {
    const std::vector<std::string> &known = member.model->metadata().elements;
    member.species_of_kind.clear();
    for (const auto &symbol : symbols)
      member.species_of_kind.push_back(std::find(known.begin(), known.end(), symbol) - known.begin());
  }
}

/* ---------------------------------------------------------------------- */

void Committee::require_kinds()
{
  for (Member &member : members) {
    try {
      member.model->require_elements(member.species_of_kind);
    } catch (const std::bad_alloc &) {
      throw std::runtime_error(member.path + ": not enough memory for the radial tables; use fewer ranks per node");
    } catch (const std::runtime_error &e) {
      throw std::runtime_error(member.path + ": " + e.what());
    }
  }
}

/* ---------------------------------------------------------------------- */

double Committee::cutoff() const
{
  double longest = 0.0;
  for (const Member &member : members) longest = std::max(longest, member.model->metadata().cutoff);
  return longest;
}

/* ---------------------------------------------------------------------- */

std::vector<double> Committee::min_distances() const
{
  std::vector<double> result;
  for (const Member &member : members) {
    const Metadata &metadata = member.model->metadata();
    if (metadata.min_distances.empty()) continue;
    const std::vector<int64_t> &rows = member.species_of_kind;
    result.resize(rows.size() * rows.size(), 0.0);
    for (std::size_t a = 0; a < rows.size(); a++)
      for (std::size_t b = 0; b < rows.size(); b++) {
        double &distance = result[a * rows.size() + b];
        distance = std::max(distance, metadata.min_distances[rows[a] * metadata.elements.size() + rows[b]]);
      }
  }
  return result;
}

/* ---------------------------------------------------------------------- */

Results Committee::evaluate(const Edges &edges, Exchange &exchange, bool has_moments, bool has_node_virials)
{
  std::string fault;
  const auto keep = [&](const Member &member, const std::string &text) {
    if (fault.empty()) fault = members.size() > 1 ? member.path + ": " + text : text;
  };
  for (Member &member : members) {
    try {
      member.edges.select(edges, member.species_of_kind, member.model->metadata().cutoff);
    } catch (const std::bad_alloc &) {
      member.edges.clear();
      keep(member, "not enough memory for its edges; use more ranks");
    }
    try {
      member.results = member.model->evaluate(member.edges.graph(), exchange, has_moments, has_node_virials);
    } catch (const std::runtime_error &e) {
      keep(member, e.what());
    }
  }
  if (!fault.empty()) throw std::runtime_error(fault);
  if (members.size() == 1) return members[0].results;
  try {
    return mean(edges.graph(), has_moments);
  } catch (const std::bad_alloc &) {
    throw std::runtime_error("not enough memory for the mean of the models; use more ranks");
  }
}

/* ---------------------------------------------------------------------- */

Results Committee::mean(const Graph &all, bool has_moments)
{
  const auto cleared = [](Buffer<double> &buffer, int64_t n) {
    double *const values = buffer.resize(n + 1);
    std::fill_n(values, n, 0.0);
    return values;
  };
  Results result;
  result.node_energies = cleared(mean_energies, all.n_local);
  result.edge_gradients = cleared(mean_gradients, 3 * all.n_edges);
  if (has_moments) result.edge_moments = cleared(mean_moments, 9 * all.n_edges);
  for (const Member &member : members) add_to_mean(member);
  return result;
}

/* ---------------------------------------------------------------------- */

void Committee::add_to_mean(const Member &member)
{
  const double share = 1.0 / members.size();
  const Graph &graph = member.edges.graph();
  double *energy = mean_energies.data(), *gradient = mean_gradients.data();
  for (int64_t row = 0; row < graph.n_local; row++) energy[row] += share * member.results.node_energies[row];
  for (int64_t k = 0; k < graph.n_edges; k++) {
    const int64_t edge = member.edges.edge(k);
    for (int c = 0; c < 3; c++) gradient[3 * edge + c] += share * member.results.edge_gradients[3 * k + c];
    if (!member.results.edge_moments) continue;
    for (int c = 0; c < 9; c++) mean_moments.data()[9 * edge + c] += share * member.results.edge_moments[9 * k + c];
  }
}

/* ---------------------------------------------------------------------- */

void Committee::prepare_deviations(const Edges &edges)
{
  const Graph all = edges.graph();
  forces.resize(3 * members.size() * (all.n_local + all.n_ghost) + 1);
  deviations.resize(all.n_local + 1);
}

/* ----------------------------------------------------------------------
   a row holds the forces of all models, so that one exchange adds the contributions of ghosts
------------------------------------------------------------------------- */

const double *Committee::force_deviations(const Edges &edges, Exchange &exchange)
{
  const Graph all = edges.graph();
  const int64_t n_models = members.size(), width = 3 * n_models;
  double *f = forces.data(), *deviation = deviations.data();
  std::fill_n(f, width * (all.n_local + all.n_ghost), 0.0);
  for (int64_t m = 0; m < n_models; m++) {
    const Graph &graph = members[m].edges.graph();
    const double *gradient = members[m].results.edge_gradients;
    for (int64_t k = 0; k < graph.n_edges; k++) {
      double *f_i = f + width * graph.edge_centre[k] + 3 * m, *f_j = f + width * graph.edge_neighbour[k] + 3 * m;
      for (int axis = 0; axis < 3; axis++) {
        f_i[axis] += gradient[3 * k + axis];
        f_j[axis] -= gradient[3 * k + axis];
      }
    }
  }
  Features rows{f, all.n_local + all.n_ghost, width, 8};
  exchange.reverse(rows);

  for (int64_t row = 0; row < all.n_local; row++) {
    const double *f_row = f + width * row;
    double sum = 0.0;
    for (int axis = 0; axis < 3; axis++) {
      double mean = 0.0;
      for (int64_t m = 0; m < n_models; m++) mean += f_row[3 * m + axis] / n_models;
      for (int64_t m = 0; m < n_models; m++) sum += (f_row[3 * m + axis] - mean) * (f_row[3 * m + axis] - mean);
    }
    deviation[row] = std::sqrt(sum / n_models);
  }
  return deviation;
}

/* ---------------------------------------------------------------------- */

std::vector<double> Committee::energies() const
{
  std::vector<double> result;
  for (const Member &member : members) {
    double sum = 0.0;
    for (int64_t row = 0; row < member.edges.graph().n_local; row++) sum += member.results.node_energies[row];
    result.push_back(sum);
  }
  return result;
}

}    // namespace mlip
