/* Prints atomic energies and forces of structures from the PACE library (github.com/ICAMS/lammps-user-pace).

   pace_energies POTENTIAL STRUCTURES product|recursive [REPEATS]

   STRUCTURES: for each one a line with the number of atoms, the nine numbers of the cell and three flags (periodic or
   not), then a line with symbol and position for each atom. Prints the energy of each atom and its force. With REPEATS,
   also the processor time of an evaluation; neighbour lists are not in it.

   The recursive evaluator gives wrong densities if elements have different numbers of them. */

#include "ace-evaluator/ace_c_basis.h"
#include "ace-evaluator/ace_evaluator.h"
#include "ace-evaluator/ace_recursive.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

using Vector = std::array<double, 3>;

static Vector cross(const double *u, const double *v)
{
  return {u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]};
}

int main(int argc, char **argv)
{
  const std::string potential = argv[1];
  const int repeats = argc > 4 ? std::stoi(argv[4]) : 0;
  ACECTildeBasisSet basis;
  const bool is_yaml = potential.size() > 5 && potential.substr(potential.size() - 5) == ".yace";
  if (is_yaml) basis.load_yaml(potential);
  else basis.load(potential);
  ACECTildeEvaluator product;
  ACERecursiveEvaluator recursive;
  const bool is_recursive = std::string(argv[3]) == "recursive";
  if (is_recursive) {
    recursive.set_recursive(true);
    recursive.set_basis(basis);
  } else {
    product.set_basis(basis);
  }
  ACEEvaluator &evaluator = is_recursive ? static_cast<ACEEvaluator &>(recursive) : product;
  evaluator.element_type_mapping.init(basis.nelements);
  for (int e = 0; e < basis.nelements; e++) evaluator.element_type_mapping(e) = e;

  std::ifstream input(argv[2]);
  int n, periodic[3];
  double cell[9];
  while (input >> n) {
    for (double &value : cell) input >> value;
    for (int &flag : periodic) input >> flag;
    std::vector<Vector> x(n);
    std::vector<int> type(n, -1), owner(n);
    for (int i = 0; i < n; i++) {
      std::string symbol;
      input >> symbol >> x[i][0] >> x[i][1] >> x[i][2];
      owner[i] = i;
      for (int e = 0; e < basis.nelements; e++)
        if (basis.elements_name[e] == symbol) type[i] = e;
    }

    const double cutoff = basis.cutoffmax;
    Vector low = x[0], high = x[0];
    for (const Vector &one : x)
      for (int k = 0; k < 3; k++) low[k] = std::min(low[k], one[k]), high[k] = std::max(high[k], one[k]);
    int reach[3] = {0, 0, 0};
    for (int k = 0; k < 3; k++) {
      if (!periodic[k]) continue;
      const Vector area = cross(cell + 3 * ((k + 1) % 3), cell + 3 * ((k + 2) % 3));
      const double *const along = cell + 3 * k;
      const double volume = std::fabs(area[0] * along[0] + area[1] * along[1] + area[2] * along[2]);
      const double surface = std::sqrt(area[0] * area[0] + area[1] * area[1] + area[2] * area[2]);
      reach[k] = 2 + static_cast<int>(cutoff * surface / volume);
    }
    for (int a = -reach[0]; a <= reach[0]; a++)
      for (int b = -reach[1]; b <= reach[1]; b++)
        for (int c = -reach[2]; c <= reach[2]; c++) {
          if (a == 0 && b == 0 && c == 0) continue;
          for (int i = 0; i < n; i++) {
            Vector image;
            bool is_near = true;
            for (int k = 0; k < 3; k++) {
              image[k] = x[i][k] + a * cell[k] + b * cell[3 + k] + c * cell[6 + k];
              is_near = is_near && image[k] > low[k] - cutoff && image[k] < high[k] + cutoff;
            }
            if (!is_near) continue;
            x.push_back(image);
            type.push_back(type[i]);
            owner.push_back(i);
          }
        }

    std::vector<double *> rows;
    for (Vector &one : x) rows.push_back(one.data());
    std::vector<std::vector<int>> neighbours(n);
    size_t most = 0;
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < static_cast<int>(x.size()); j++) {
        const double d[3] = {x[j][0] - x[i][0], x[j][1] - x[i][1], x[j][2] - x[i][2]};
        if (j != i && d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < cutoff * cutoff) neighbours[i].push_back(j);
      }
      most = std::max(most, neighbours[i].size());
    }
    evaluator.resize_neighbours_cache(static_cast<int>(most));

    std::vector<double> energies(n), forces;
    const std::clock_t start = std::clock();
    for (int repeat = 0; repeat < std::max(1, repeats); repeat++) {
      forces.assign(3 * n, 0.0);
      for (int i = 0; i < n; i++) {
        const std::vector<int> &list = neighbours[i];
        evaluator.compute_atom(i, rows.data(), type.data(), static_cast<int>(list.size()), list.data());
        energies[i] = evaluator.e_atom;
        for (size_t k = 0; k < list.size(); k++)
          for (int d = 0; d < 3; d++) {
            const double gradient = evaluator.neighbours_forces(k, d);
            forces[3 * i + d] += gradient;
            forces[3 * owner[list[k]] + d] -= gradient;
          }
      }
    }
    if (repeats)
      std::printf("%g microseconds per atom\n", 1e6 * (std::clock() - start) / CLOCKS_PER_SEC / repeats / n);
    for (int i = 0; i < n; i++)
      std::printf("%.17g %.17g %.17g %.17g\n", energies[i], forces[3 * i], forces[3 * i + 1], forces[3 * i + 2]);
  }
}
