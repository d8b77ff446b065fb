#include "chunk.h"

#include <stdexcept>
#include <string>

namespace {

std::string too_many_bonds(const mlip::Metadata &metadata, int64_t species)
{
  std::string cutoff = std::to_string(metadata.angle_cutoff);
  cutoff.erase(cutoff.find_last_not_of('0') + 1);
  if (cutoff.back() == '.') cutoff.pop_back();
  return "an atom of " + metadata.elements[species] + " has more than " + std::to_string(metadata.max_bonds) +
      " neighbours within " + cutoff + " A, the most that this model takes; check the structure and its density";
}

}    // namespace

namespace mlip {

/* ---------------------------------------------------------------------- */

void PaddedGraph::set(const Graph &graph)
{
  n_phantoms = std::max<int64_t>(MIN_SIZE - graph.n_local, 0);
  n_local = graph.n_local + n_phantoms;
  n_nodes = n_local + graph.n_ghost;
  n_edges = graph.n_edges;
  species = graph.species;
  edge_vectors = graph.edge_vectors;
  edge_centre = graph.edge_centre;
  edge_neighbour = graph.edge_neighbour;
  positions = graph.positions;
  if (n_phantoms == 0) return;

  padded_species.assign(n_nodes, 0);
  std::copy_n(graph.species, graph.n_local + graph.n_ghost, padded_species.begin() + n_phantoms);
  padded_centre.resize(n_edges);
  padded_neighbour.resize(n_edges);
  for (int64_t edge = 0; edge < n_edges; edge++) {
    padded_centre[edge] = graph.edge_centre[edge] + n_phantoms;
    padded_neighbour[edge] = graph.edge_neighbour[edge] + n_phantoms;
  }
  species = padded_species.data();
  edge_centre = padded_centre.data();
  edge_neighbour = padded_neighbour.data();
  padded_positions.assign(3 * n_nodes, 0.0);
  if (graph.positions)
    std::copy_n(graph.positions, 3 * (graph.n_local + graph.n_ghost), padded_positions.begin() + 3 * n_phantoms);
  positions = padded_positions.data();
}

/* ---------------------------------------------------------------------- */

void Chunk::restart()
{
  end = edge = n_edges = 0;
}

/* ---------------------------------------------------------------------- */

void Chunk::advance(const PaddedGraph &graph, int64_t new_end, const Metadata &metadata, bool has_compact_rows)
{
  begin = end;
  end = new_end;
  is_compact = has_compact_rows;
  edge += n_edges;
  int64_t last = edge;
  while (last < graph.n_edges && graph.edge_centre[last] < end) last++;
  n_edges = last - edge;
  n_padding = std::max<int64_t>(MIN_SIZE - n_edges, 0);
  if (metadata.angle_cutoff > 0.0) find_angles(graph, metadata);
  centre.resize(n_padded());
  neighbour.resize(n_padded());
  for (int64_t e = 0; e < n_edges; e++) {
    centre[e] = graph.edge_centre[edge + e] - begin;
    neighbour[e] = graph.edge_neighbour[edge + e];
  }
  for (int64_t e = n_edges; e < n_padded(); e++) {
    centre[e] = end - begin - 1;
    neighbour[e] = 0;
  }
  vectors = graph.edge_vectors + 3 * edge;
  if (n_padding > 0) {
    padded_vectors.assign(3 * n_padded(), 2.0 * metadata.cutoff);
    std::copy_n(vectors, 3 * n_edges, padded_vectors.begin());
    padded_vectors[3 * n_edges] *= -1.0;
    vectors = padded_vectors.data();
  }
  if (is_compact) compact(graph.n_nodes);
}

/* Lists the pairs of edges of each centre, or adds padding edges for padding angles. */

void Chunk::find_angles(const PaddedGraph &graph, const Metadata &metadata)
{
  const double angle_cutoff = metadata.angle_cutoff;
  angle_edges.clear();
  close.clear();
  for (int64_t e = 0; e < n_edges; e++) {
    const double *const v = graph.edge_vectors + 3 * (edge + e);
    if (!close.empty() && graph.edge_centre[edge + close[0]] != graph.edge_centre[edge + e]) close.clear();
    if (v[0] * v[0] + v[1] * v[1] + v[2] * v[2] >= angle_cutoff * angle_cutoff) continue;
    for (const int64_t before : close) {
      angle_edges.push_back(before);
      angle_edges.push_back(e);
    }
    close.push_back(e);
    if (metadata.max_bonds > 0 && static_cast<int64_t>(close.size()) > metadata.max_bonds)
      throw std::runtime_error(too_many_bonds(metadata, graph.species[graph.edge_centre[edge + e]]));
  }
  if (n_angles() >= MIN_SIZE) return;
  n_padding = MIN_SIZE;
  while (n_angles() < MIN_SIZE) {
    angle_edges.push_back(n_edges);
    angle_edges.push_back(n_edges + 1);
  }
}

/* Numbers the sources of the chunk's edges from 0. */

void Chunk::compact(int64_t n_nodes)
{
  place.resize(n_nodes, -1);
  rows.clear();
  for (int64_t &node : neighbour) {
    int64_t &row = place[node];
    if (row < 0) {
      row = static_cast<int64_t>(rows.size());
      rows.push_back(node);
    }
    node = row;
  }
  for (const int64_t node : rows) place[node] = -1;
  while (static_cast<int64_t>(rows.size()) < MIN_SIZE) rows.push_back(0);
}

}    // namespace mlip
