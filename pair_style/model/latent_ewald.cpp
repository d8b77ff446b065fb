#include "latent_ewald.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

/* The loops over atoms and pairs are compiled for several widths of vectors; the first call chooses. */
#if defined(__x86_64__) && defined(__GLIBC__) && __GNUC__ >= 12
#define MLIP_ALL_WIDTHS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(__x86_64__) && defined(__GLIBC__)    // g++ 11 knows the levels, but cannot choose between them
#define MLIP_ALL_WIDTHS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define MLIP_ALL_WIDTHS
#endif

using namespace mlip;

namespace {

constexpr double TWO_PI = 6.283185307179586476925287;
constexpr double AT_BOUND = 1e-10;    // vectors of perfect cells are exactly at the bound: rounding must not decide
constexpr int64_t BLOCK = 256;        // atoms
constexpr int64_t AT_ONCE = 4096;     // numbers that ranks sum at once
constexpr int LANES = 8;

typedef double Lanes __attribute__((vector_size(8 * LANES), may_alias));
struct alignas(8 * LANES) Eight {    // memory of Lanes: a std::vector of them would ignore their alignment
  double values[LANES];
};

constexpr int64_t N_VECTORS = BLOCK / LANES;

/* Adds numbers of all ranks; a rank without them takes part with zeros. */
void sum_over_ranks(Exchange &exchange, double *values, int64_t n)
{
  double zeros[AT_ONCE];
  for (int64_t begin = 0; begin < n; begin += AT_ONCE) {
    const int64_t count = std::min(AT_ONCE, n - begin);
    if (!values) std::fill_n(zeros, count, 0.0);
    exchange.sum(values ? values + begin : zeros, count);
  }
}

/* z = p1 p2, or p1 conj(p2) if n2 is negative. */
MLIP_ALL_WIDTHS void multiply(const Lanes *p1, const Lanes *p2, bool is_conjugate, int64_t n_vectors, Lanes *re,
                              Lanes *im)
{
  for (int64_t v = 0; v < n_vectors; v++) {
    const Lanes c = p2[v], s = is_conjugate ? -p2[N_VECTORS + v] : p2[N_VECTORS + v];
    re[v] = p1[v] * c - p1[N_VECTORS + v] * s;
    im[v] = p1[v] * s + p1[N_VECTORS + v] * c;
  }
}

/* Sums over the atoms of a block of Re and Im of z times Re and Im of the phases of n3 = 0 .. n_pairs-1. */
MLIP_ALL_WIDTHS void add_row(const Lanes *re, const Lanes *im, int64_t n_vectors, const Lanes *p3, int64_t n_pairs,
                             double *sums)
{
  for (int64_t n3 = 0; n3 < n_pairs; n3 += 2) {
    const Lanes *const c = p3 + 2 * N_VECTORS * n3, *const s = c + N_VECTORS;
    const bool has_second = n3 + 1 < n_pairs;
    const Lanes *const c_next = has_second ? c + 2 * N_VECTORS : c, *const s_next = c_next + N_VECTORS;
    Lanes rc{}, rs{}, ic{}, is{}, rc_next{}, rs_next{}, ic_next{}, is_next{};
    for (int64_t v = 0; v < n_vectors; v++) {
      const Lanes r = re[v], i = im[v];
      rc += r * c[v];
      rs += r * s[v];
      ic += i * c[v];
      is += i * s[v];
      rc_next += r * c_next[v];
      rs_next += r * s_next[v];
      ic_next += i * c_next[v];
      is_next += i * s_next[v];
    }
    double *const to = sums + 4 * n3;
    for (int lane = 0; lane < LANES; lane++) {
      to[0] += rc[lane];
      to[1] += rs[lane];
      to[2] += ic[lane];
      to[3] += is[lane];
    }
    if (!has_second) continue;
    for (int lane = 0; lane < LANES; lane++) {
      to[4] += rc_next[lane];
      to[5] += rs_next[lane];
      to[6] += ic_next[lane];
      to[7] += is_next[lane];
    }
  }
}

/* Sums over n3 of X p3 + Y conj(p3) (u), and of n3 times X p3 - Y conj(p3) (w), for two vectors of atoms v, v + 1.
   coefficients: Re and Im of X + Y, Re and Im of X - Y of each pair. Results: re u, im u, re w, im w of both. */
MLIP_ALL_WIDTHS void sum_row(const double *coefficients, const Lanes *p3, int64_t n_pairs, int64_t v, Lanes *result)
{
  Lanes ur{}, ui{}, wr{}, wi{}, ur_next{}, ui_next{}, wr_next{}, wi_next{};
  for (int64_t n3 = 0; n3 < n_pairs; n3++) {
    const double *const k = coefficients + 4 * n3;
    const Lanes *const at = p3 + 2 * N_VECTORS * n3 + v;
    const Lanes c = at[0], c_next = at[1], s = at[N_VECTORS], s_next = at[N_VECTORS + 1];
    const double n = static_cast<double>(n3);
    const double pr = k[0], pi = k[1], mr = k[2], mi = k[3];
    const double n_pr = n * pr, n_pi = n * pi, n_mr = n * mr, n_mi = n * mi;
    ur += pr * c - mi * s;
    ui += pi * c + mr * s;
    wr += n_mr * c - n_pi * s;
    wi += n_mi * c + n_pr * s;
    ur_next += pr * c_next - mi * s_next;
    ui_next += pi * c_next + mr * s_next;
    wr_next += n_mr * c_next - n_pi * s_next;
    wi_next += n_mi * c_next + n_pr * s_next;
  }
  const Lanes found[8] = {ur, ui, wr, wi, ur_next, ui_next, wr_next, wi_next};
  std::copy_n(found, 8, result);
}

/* rows: c_a x c_b / volume */
void invert(const double *cell, double *inverse_columns, double &volume)
{
  for (int a = 0; a < 3; a++) {
    const double *const p = cell + 3 * ((a + 1) % 3), *const q = cell + 3 * ((a + 2) % 3);
    for (int k = 0; k < 3; k++)
      inverse_columns[3 * a + k] = p[(k + 1) % 3] * q[(k + 2) % 3] - p[(k + 2) % 3] * q[(k + 1) % 3];
  }
  volume = 0.0;
  for (int k = 0; k < 3; k++) volume += cell[k] * inverse_columns[k];
  for (int k = 0; k < 9; k++) inverse_columns[k] /= volume;
  volume = std::fabs(volume);
}

double dot(const double *a, const double *b)
{
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

constexpr int FIRST[6] = {0, 1, 2, 0, 0, 1};    // components in the order of LAMMPS
constexpr int SECOND[6] = {0, 1, 2, 1, 2, 2};

}    // namespace

/* Phases of the atoms of a block, with atoms as lanes: for each multiple Re and Im, BLOCK numbers each. */
struct LatentEwald::Phases {
  std::vector<Eight> of_axis[3];
  std::vector<double> charges;
  int64_t n_vectors = 0;    // with atoms, rounded up to an even number

  const Lanes *at(int axis, int64_t n) const
  {
    return reinterpret_cast<const Lanes *>(of_axis[axis].data()) + 2 * N_VECTORS * std::llabs(n);
  }
};

/* ---------------------------------------------------------------------- */

void LatentEwald::evaluate(const LatentEwaldSettings &given, const ChargedAtoms &atoms, bool has_node_virials,
                           Exchange &exchange, FirstFault &fault)
{
  settings = given;
  virial.fill(0.0);
  fault.guard([&] {
    potentials.assign(atoms.n, 0.0);
    forces.assign(3 * atoms.n, 0.0);
    node_virials.assign(has_node_virials ? 6 * atoms.n : 0, 0.0);
  });
  if (atoms.cell)
    sum_reciprocal(atoms, has_node_virials, exchange, fault);
  else
    sum_directly(atoms, exchange, fault);
  // the reciprocal sum has the energy of each charge with itself, and the direct sum has not
  const bool has_it = atoms.cell != nullptr;
  if (settings.has_self_interaction == has_it) return;
  const double of_itself = settings.strength / (settings.sigma * std::pow(TWO_PI, 1.5));
  fault.guard([&] {
    for (int64_t i = 0; i < atoms.n; i++) potentials[i] += (has_it ? -2.0 : 2.0) * of_itself * atoms.charges[i];
  });
}

/* ---------------------------------------------------------------------- */

void LatentEwald::sum_reciprocal(const ChargedAtoms &atoms, bool has_node_virials, Exchange &exchange,
                                 FirstFault &fault)
{
  set_cell(atoms.cell);
  int64_t n_pairs = 0;    // a rank without memory for the pairs needs their number too
  for_each_row([&](const Row &row) { n_pairs += row.n_pairs; });
  Phases phases;
  fault.guard([&] {
    list_rows();
    pairs.assign(4 * n_pairs, 0.0);
    for (int axis = 0; axis < 3; axis++) phases.of_axis[axis].resize(2 * N_VECTORS * (most[axis] + 1));
    phases.charges.resize(BLOCK);
    for (int64_t begin = 0; begin < atoms.n; begin += BLOCK) {
      set_phases(atoms, begin, std::min(begin + BLOCK, atoms.n), phases);
      add_structure(phases);
    }
  });
  sum_over_ranks(exchange, fault.is_kept() ? nullptr : pairs.data(), 4 * n_pairs);
  fault.guard([&] {
    if (has_node_virials) virial_pairs.assign(4 * n_pairs, 0.0);
    turn_into_coefficients(exchange.n_ranks());
    for (int64_t begin = 0; begin < atoms.n; begin += BLOCK) {
      const int64_t end = std::min(begin + BLOCK, atoms.n);
      set_phases(atoms, begin, end, phases);
      take_block(atoms, begin, end, phases);
      if (has_node_virials) take_node_virials(atoms, begin, end, phases);
    }
    virial_pairs.clear();
  });
}

/* ---------------------------------------------------------------------- */

void LatentEwald::set_cell(const double *cell)
{
  invert(cell, reciprocal, volume);
  for (double &b : reciprocal) b *= TWO_PI;
  bound_sq = std::pow(TWO_PI / settings.resolution, 2) * (1.0 + AT_BOUND);
  for (int axis = 0; axis < 3; axis++) {
    const double length = std::sqrt(dot(cell + 3 * axis, cell + 3 * axis));
    most[axis] = static_cast<int64_t>(length / settings.resolution * (1.0 + AT_BOUND));
  }
}

/* Rows of the half space n1 > 0, or n1 = 0 and n2 >= 0; of the row n1 = n2 = 0 only n3 > 0 counts. */

template <class Take> void LatentEwald::for_each_row(const Take &take) const
{
  const double *const b3 = reciprocal + 6;
  const double a = dot(b3, b3);
  int64_t first = 0;
  for (int64_t n1 = 0; n1 <= most[0]; n1++)
    for (int64_t n2 = n1 > 0 ? -most[1] : 0; n2 <= most[1]; n2++) {
      double k[3];
      for (int c = 0; c < 3; c++) k[c] = n1 * reciprocal[c] + n2 * reciprocal[3 + c];
      const double b = dot(k, b3), discriminant = b * b - a * (dot(k, k) - bound_sq);
      if (discriminant < 0.0) continue;
      // the outermost vectors may be outside by rounding: their weights decide
      const double farthest = (std::fabs(b) + std::sqrt(discriminant)) / a * (1.0 + AT_BOUND);
      const int64_t last = std::min(most[2], static_cast<int64_t>(farthest));
      take(Row{n1, n2, last + 1, first});
      first += last + 1;
    }
}

void LatentEwald::list_rows()
{
  rows.clear();
  for_each_row([&](const Row &row) { rows.push_back(row); });
}

/* ---------------------------------------------------------------------- */

void LatentEwald::set_phases(const ChargedAtoms &atoms, int64_t begin, int64_t end, Phases &phases) const
{
  phases.n_vectors = (end - begin + 2 * LANES - 1) / (2 * LANES) * 2;
  std::fill(phases.charges.begin(), phases.charges.end(), 0.0);
  std::copy(atoms.charges + begin, atoms.charges + end, phases.charges.begin());
  for (int axis = 0; axis < 3; axis++) {
    Lanes *const table = reinterpret_cast<Lanes *>(phases.of_axis[axis].data());
    std::fill_n(table, 2 * N_VECTORS, Lanes{});
    for (int64_t v = 0; v < N_VECTORS; v++) table[v] = Lanes{} + 1.0;
    if (most[axis] == 0) continue;
    Lanes *const first = table + 2 * N_VECTORS;
    std::fill_n(first, 2 * N_VECTORS, Lanes{});
    for (int64_t i = begin; i < end; i++) {
      const double turns = dot(reciprocal + 3 * axis, atoms.positions + 3 * i) / TWO_PI;
      const double angle = TWO_PI * (turns - std::nearbyint(turns));
      const int64_t k = i - begin;
      first[k / LANES][k % LANES] = std::cos(angle);
      first[N_VECTORS + k / LANES][k % LANES] = std::sin(angle);
    }
    // products of two halves: the rounding error grows with the logarithm of n only
    for (int64_t n = 2; n <= most[axis]; n++) {
      Lanes *const to = table + 2 * N_VECTORS * n;
      multiply(phases.at(axis, n / 2), phases.at(axis, n - n / 2), false, phases.n_vectors, to, to + N_VECTORS);
    }
  }
}

/* ---------------------------------------------------------------------- */

void LatentEwald::add_structure(Phases &phases)
{
  Lanes re[N_VECTORS], im[N_VECTORS], q[N_VECTORS];
  for (int64_t k = 0; k < BLOCK; k++) q[k / LANES][k % LANES] = phases.charges[k];
  for (const Row &row : rows) {
    multiply(phases.at(0, row.n1), phases.at(1, row.n2), row.n2 < 0, phases.n_vectors, re, im);
    for (int64_t v = 0; v < phases.n_vectors; v++) {
      re[v] *= q[v];
      im[v] *= q[v];
    }
    add_row(re, im, phases.n_vectors, phases.at(2, 0), row.n_pairs, pairs.data() + 4 * row.first);
  }
}

/* Structure factors to X = w conj(S(+n3)) and Y = w conj(S(-n3)), as X + Y and X - Y, where 2 Re(X p) is the part of a
   vector in the potential at the phase p. */

void LatentEwald::turn_into_coefficients(int n_ranks)
{
  const double half_sigma_sq = 0.5 * settings.sigma * settings.sigma;
  double strain[6] = {};
  for (const Row &row : rows)
    for (int64_t n3 = 0; n3 < row.n_pairs; n3++) {
      double *const pair = pairs.data() + 4 * (row.first + n3);
      const double sums[4] = {pair[0], pair[1], pair[2], pair[3]};
      double kept[2][2], kept_virial[2][2];
      for (int sign = 0; sign < 2; sign++) {
        const double n[3] = {double(row.n1), double(row.n2), double(sign ? -n3 : n3)};
        double k[3];
        for (int c = 0; c < 3; c++) k[c] = n[0] * reciprocal[c] + n[1] * reciprocal[3 + c] + n[2] * reciprocal[6 + c];
        const double k_sq = dot(k, k);
        const bool is_twice = n3 == 0 && (sign == 1 || (row.n1 == 0 && row.n2 == 0));
        const bool is_mirror = row.n1 == 0 && row.n2 == 0 && sign == 1;
        const bool counts = !is_twice && !is_mirror && k_sq <= bound_sq;
        const double weight = counts ? 2.0 * settings.strength / volume * std::exp(-half_sigma_sq * k_sq) / k_sq : 0.0;
        // S(n3) = (rc - is) + i (rs + ic), S(-n3) = (rc + is) + i (ic - rs)
        const double re = sign ? sums[0] + sums[3] : sums[0] - sums[3];
        const double im = sign ? sums[2] - sums[1] : sums[2] + sums[1];
        kept[sign][0] = weight * re;
        kept[sign][1] = -weight * im;
        const double energy = weight * (re * re + im * im);
        const double slope = counts ? 2.0 * half_sigma_sq + 2.0 / k_sq : 0.0;
        for (int c = 0; c < 6; c++)
          strain[c] += energy * (slope * k[FIRST[c]] * k[SECOND[c]] - (FIRST[c] == SECOND[c] ? 1.0 : 0.0));
        for (int c = 0; c < 2; c++) kept_virial[sign][c] = slope * kept[sign][c];
      }
      for (int c = 0; c < 2; c++) {
        pair[c] = kept[0][c] + kept[1][c];
        pair[2 + c] = kept[0][c] - kept[1][c];
      }
      if (virial_pairs.empty()) continue;
      double *const of_virial = virial_pairs.data() + 4 * (row.first + n3);
      for (int c = 0; c < 2; c++) {
        of_virial[c] = kept_virial[0][c] + kept_virial[1][c];
        of_virial[2 + c] = kept_virial[0][c] - kept_virial[1][c];
      }
    }
  for (int c = 0; c < 6; c++) virial[c] = -strain[c] / n_ranks;
}

/* ---------------------------------------------------------------------- */

void LatentEwald::take_block(const ChargedAtoms &atoms, int64_t begin, int64_t end, Phases &phases)
{
  Lanes re[N_VECTORS], im[N_VECTORS], potential[N_VECTORS] = {}, slope[3][N_VECTORS] = {};
  const int64_t n_vectors = phases.n_vectors;
  for (const Row &row : rows) {
    multiply(phases.at(0, row.n1), phases.at(1, row.n2), row.n2 < 0, n_vectors, re, im);
    const double n1 = static_cast<double>(row.n1), n2 = static_cast<double>(row.n2);
    for (int64_t v = 0; v < n_vectors; v += 2) {
      Lanes sums[8];
      sum_row(pairs.data() + 4 * row.first, phases.at(2, 0), row.n_pairs, v, sums);
      for (int64_t next = 0; next < 2; next++) {
        const Lanes a = re[v + next], b = im[v + next], *const u = sums + 4 * next, *const w = u + 2;
        const Lanes turned = a * u[1] + b * u[0];
        potential[v + next] += a * u[0] - b * u[1];
        slope[0][v + next] += n1 * turned;
        slope[1][v + next] += n2 * turned;
        slope[2][v + next] += a * w[1] + b * w[0];
      }
    }
  }
  for (int64_t i = begin; i < end; i++) {
    const int64_t v = (i - begin) / LANES, lane = (i - begin) % LANES;
    potentials[i] = 2.0 * potential[v][lane];
    for (int c = 0; c < 3; c++) {
      double sum = 0.0;
      for (int axis = 0; axis < 3; axis++) sum += reciprocal[3 * axis + c] * slope[axis][v][lane];
      forces[3 * i + c] = 2.0 * atoms.charges[i] * sum;
    }
  }
}

/* The part of each atom in the virial: that of its charge in the potential of all. Only on request, and twice as long
   as forces. */

void LatentEwald::take_node_virials(const ChargedAtoms &atoms, int64_t begin, int64_t end, Phases &phases)
{
  for (int64_t i = begin; i < end; i++) {
    const int64_t v = (i - begin) / LANES, lane = (i - begin) % LANES;
    double sums[6] = {};    // of n_a n_b, in the order 11 22 33 12 13 23
    for (const Row &row : rows) {
      const Lanes *const p1 = phases.at(0, row.n1) + v, *const p2 = phases.at(1, row.n2) + v;
      const double c1 = p1[0][lane], s1 = p1[N_VECTORS][lane], c2 = p2[0][lane];
      const double s2 = row.n2 < 0 ? -p2[N_VECTORS][lane] : p2[N_VECTORS][lane];
      const double a = c1 * c2 - s1 * s2, b = c1 * s2 + s1 * c2;
      double plain = 0.0, once = 0.0, twice = 0.0;
      for (int64_t n3 = 0; n3 < row.n_pairs; n3++) {
        const double *const k = virial_pairs.data() + 4 * (row.first + n3);
        const Lanes *const p3 = phases.at(2, n3) + v;
        const double c = p3[0][lane], s = p3[N_VECTORS][lane], n = static_cast<double>(n3);
        const double even = a * (k[0] * c - k[3] * s) - b * (k[1] * c + k[2] * s);
        const double odd = a * (k[2] * c - k[1] * s) - b * (k[3] * c + k[0] * s);
        plain += even;
        once += n * odd;
        twice += n * n * even;
      }
      const double n1 = static_cast<double>(row.n1), n2 = static_cast<double>(row.n2);
      const double found[6] = {n1 * n1 * plain, n2 * n2 * plain, twice, n1 * n2 * plain, n1 * once, n2 * once};
      for (int c = 0; c < 6; c++) sums[c] += found[c];
    }
    for (int c = 0; c < 6; c++) {
      double strain = FIRST[c] == SECOND[c] ? -0.5 * potentials[i] : 0.0;
      for (int d = 0; d < 6; d++) {
        const double *const p = reciprocal + 3 * FIRST[d], *const q = reciprocal + 3 * SECOND[d];
        const double product = p[FIRST[c]] * q[SECOND[c]];
        strain += sums[d] * (d < 3 ? product : product + q[FIRST[c]] * p[SECOND[c]]);
      }
      node_virials[6 * i + c] = -atoms.charges[i] * strain;
    }
  }
}

/* ---------------------------------------------------------------------- */

void LatentEwald::sum_directly(const ChargedAtoms &atoms, Exchange &exchange, FirstFault &fault)
{
  std::vector<double> counts;
  int64_t n_all = 0, own = 0;
  {
    // the number of ranks is small: this allocation cannot be what fails
    counts.assign(exchange.n_ranks(), 0.0);
    counts[exchange.rank()] = fault.is_kept() ? 0.0 : static_cast<double>(atoms.n);
    sum_over_ranks(exchange, counts.data(), exchange.n_ranks());
    for (int rank = 0; rank < exchange.n_ranks(); rank++) {
      if (rank == exchange.rank()) own = n_all;
      n_all += static_cast<int64_t>(counts[rank]);
    }
  }
  fault.guard([&] {
    all.assign(4 * n_all, 0.0);
    for (int64_t i = 0; i < atoms.n; i++) {
      all[4 * (own + i)] = atoms.charges[i];
      std::copy_n(atoms.positions + 3 * i, 3, &all[4 * (own + i) + 1]);
    }
  });
  sum_over_ranks(exchange, fault.is_kept() ? nullptr : all.data(), 4 * n_all);
  fault.guard([&] {
    const double width = std::sqrt(2.0) * settings.sigma, factor = settings.strength / TWO_PI;
    const double at_zero = 2.0 / std::sqrt(0.5 * TWO_PI) / width;
    for (int64_t i = 0; i < atoms.n; i++) {
      const double *const mine = &all[4 * (own + i)];
      double potential = 0.0, slope[3] = {}, strain[6] = {};
      for (int64_t j = 0; j < n_all; j++) {
        if (j == own + i) continue;
        const double *const other = &all[4 * j];
        const double d[3] = {mine[1] - other[1], mine[2] - other[2], mine[3] - other[3]};
        const double r = std::sqrt(dot(d, d)), smeared = std::erf(r / width) / r;
        potential += other[0] * smeared;
        const double along = other[0] * (at_zero * std::exp(-r * r / (width * width)) - smeared) / (r * r);
        for (int c = 0; c < 3; c++) slope[c] += along * d[c];
        for (int c = 0; c < 6; c++) strain[c] += 0.5 * along * d[FIRST[c]] * d[SECOND[c]];
      }
      const double q = factor * mine[0];
      potentials[i] = factor * potential;
      for (int c = 0; c < 3; c++) forces[3 * i + c] = -q * slope[c];
      for (int c = 0; c < 6; c++) {
        virial[c] -= q * strain[c];
        if (!node_virials.empty()) node_virials[6 * i + c] = -q * strain[c];
      }
    }
  });
}
