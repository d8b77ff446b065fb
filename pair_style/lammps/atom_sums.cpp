#include "atom_sums.h"

namespace mlip {

namespace {

constexpr int ROW[9] = {0, 1, 2, 0, 0, 1, 1, 2, 2};       // components in the order of LAMMPS
constexpr int COLUMN[9] = {0, 1, 2, 1, 2, 2, 0, 0, 1};

void add_energies(const Edges &edges, const Results &results, const AtomSums &sums)
{
  for (int64_t row = 0; row < edges.graph().n_local; row++) {
    const double energy = results.node_energies[row];
    if (sums.energy) *sums.energy += energy;
    if (sums.energies) sums.energies[edges.atom_of_row(row)] += energy;
  }
}

void add_virial(const double *r, const double *g, int i, int j, const AtomSums &sums)
{
  const double v[6] = {-r[0] * g[0],
                       -r[1] * g[1],
                       -r[2] * g[2],
                       -0.5 * (r[0] * g[1] + r[1] * g[0]),
                       -0.5 * (r[0] * g[2] + r[2] * g[0]),
                       -0.5 * (r[1] * g[2] + r[2] * g[1])};
  if (sums.virial)
    for (int k = 0; k < 6; k++) sums.virial[k] += v[k];
  if (!sums.virials) return;
  for (int k = 0; k < 6; k++) {
    sums.virials[i][k] += 0.5 * v[k];
    sums.virials[j][k] += 0.5 * v[k];
  }
}

void add_centroid_virial(const double *r, const double *g, const double *moment, double *of_i, double *of_j)
{
  for (int k = 0; k < 9; k++) {
    const int a = ROW[k], b = COLUMN[k];
    of_i[k] -= moment[3 * a + b];
    of_j[k] += moment[3 * a + b] - r[a] * g[b];
  }
}

/* What a sum over all atoms adds at fixed charges. */

void add_sum_over_ranks(const Edges &edges, const Results &results, const AtomSums &sums)
{
  if (sums.virial)
    for (int k = 0; k < 6; k++) sums.virial[k] += results.virial[k];
  for (int64_t row = 0; row < edges.graph().n_local; row++) {
    const int i = edges.atom_of_row(row);
    for (int k = 0; k < 3; k++) sums.forces[i][k] += results.node_forces[3 * row + k];
    if (!sums.virials) continue;
    for (int k = 0; k < 6; k++) sums.virials[i][k] += results.node_virials[6 * row + k];
  }
}

}    // namespace

/* ---------------------------------------------------------------------- */

void add_results(const Edges &edges, const Results &results, const AtomSums &sums)
{
  add_energies(edges, results, sums);
  if (results.has_sum) add_sum_over_ranks(edges, results, sums);
  const Graph graph = edges.graph();
  for (int64_t edge = 0; edge < graph.n_edges; edge++) {
    const int i = edges.atom_of_row(graph.edge_centre[edge]);
    const int j = edges.atom_of_row(graph.edge_neighbour[edge]);
    const double *r = graph.edge_vectors + 3 * edge;
    const double *g = results.edge_gradients + 3 * edge;
    for (int k = 0; k < 3; k++) {
      sums.forces[i][k] += g[k];
      sums.forces[j][k] -= g[k];
    }
    if (sums.virial || sums.virials) add_virial(r, g, i, j, sums);
    if (sums.centroid_virials)
      add_centroid_virial(r, g, results.edge_moments + 9 * edge, sums.centroid_virials[i], sums.centroid_virials[j]);
  }
}

/* ---------------------------------------------------------------------- */

void add_results(const AtomRows &rows, const StepResults &results, const AtomSums &sums)
{
  for (int64_t row = 0; row < results.n_force_rows; row++) {
    double *f = sums.forces[rows.atom_of_row(row)];
    for (int k = 0; k < 3; k++) f[k] += results.forces[3 * row + k];
  }
  if (sums.energies)
    for (int64_t row = 0; row < rows.n_local(); row++)
      sums.energies[rows.atom_of_row(row)] += results.node_energies[row];
  if (sums.energy) *sums.energy += results.energy;
  if (sums.virial)
    for (int k = 0; k < 6; k++) sums.virial[k] += results.virial[k];
}

}    // namespace mlip
