/* ----------------------------------------------------------------------
   Detects masses that do not match the elements named in pair_coeff.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "atom_masses.h"

#include "atom.h"

#include "fmt/format.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

using namespace LAMMPS_NS;

static constexpr double SAME = 0.06;          // amu; masses in inputs are rounded, some to one decimal
static constexpr double NOT_UNIFORM = -1.0;

/* Standard atomic weights, amu (IUPAC 2016); for elements without one, the mass of the longest-lived isotope. */
static const std::map<std::string, double> STANDARD = {
    {"H", 1.008}, {"He", 4.0026}, {"Li", 6.94}, {"Be", 9.01218}, {"B", 10.81}, {"C", 12.011}, {"N", 14.007},
    {"O", 15.999}, {"F", 18.9984}, {"Ne", 20.1797}, {"Na", 22.9898}, {"Mg", 24.305}, {"Al", 26.9815}, {"Si", 28.085},
    {"P", 30.9738}, {"S", 32.06}, {"Cl", 35.45}, {"Ar", 39.948}, {"K", 39.0983}, {"Ca", 40.078}, {"Sc", 44.9559},
    {"Ti", 47.867}, {"V", 50.9415}, {"Cr", 51.9961}, {"Mn", 54.938}, {"Fe", 55.845}, {"Co", 58.9332}, {"Ni", 58.6934},
    {"Cu", 63.546}, {"Zn", 65.38}, {"Ga", 69.723}, {"Ge", 72.63}, {"As", 74.9216}, {"Se", 78.971}, {"Br", 79.904},
    {"Kr", 83.798}, {"Rb", 85.4678}, {"Sr", 87.62}, {"Y", 88.9058}, {"Zr", 91.224}, {"Nb", 92.9064}, {"Mo", 95.95},
    {"Tc", 97.9072}, {"Ru", 101.07}, {"Rh", 102.906}, {"Pd", 106.42}, {"Ag", 107.868}, {"Cd", 112.414},
    {"In", 114.818}, {"Sn", 118.71}, {"Sb", 121.76}, {"Te", 127.6}, {"I", 126.904}, {"Xe", 131.293}, {"Cs", 132.905},
    {"Ba", 137.327}, {"La", 138.905}, {"Ce", 140.116}, {"Pr", 140.908}, {"Nd", 144.242}, {"Pm", 144.913},
    {"Sm", 150.36}, {"Eu", 151.964}, {"Gd", 157.25}, {"Tb", 158.925}, {"Dy", 162.5}, {"Ho", 164.93}, {"Er", 167.259},
    {"Tm", 168.934}, {"Yb", 173.054}, {"Lu", 174.967}, {"Hf", 178.49}, {"Ta", 180.948}, {"W", 183.84}, {"Re", 186.207},
    {"Os", 190.23}, {"Ir", 192.217}, {"Pt", 195.084}, {"Au", 196.967}, {"Hg", 200.592}, {"Tl", 204.38}, {"Pb", 207.2},
    {"Bi", 208.98}, {"Po", 208.982}, {"At", 209.987}, {"Rn", 222.018}, {"Fr", 223.02}, {"Ra", 226.025},
    {"Ac", 227.028}, {"Th", 232.038}, {"Pa", 231.036}, {"U", 238.029}, {"Np", 237.048}, {"Pu", 244.064},
    {"Am", 243.061}, {"Cm", 247.07}, {"Bk", 247.07}, {"Cf", 251.08}, {"Es", 252.083}, {"Fm", 257.095}, {"Md", 258.098},
    {"No", 259.101}, {"Lr", 262.11},
};

/* Isotopes whose mass is close to that of another element, amu (AME 2020). */
static const std::map<std::string, double> ISOTOPES = {
    {"C", 14.0032}, {"K", 39.9640}, {"Ca", 39.9626}, {"Se", 79.9165}, {"Br", 78.9183},
    {"Kr", 79.9164}, {"Zr", 95.9083}, {"Mo", 97.9054},
};

/* ----------------------------------------------------------------------
   mass of each atom type, amu; NOT_UNIFORM if the atoms of a type differ, or
   if there are none
------------------------------------------------------------------------- */

std::vector<double> AtomMasses::masses_of_types() const
{
  const int n = atom->ntypes;
  std::vector<double> masses(n + 1, NOT_UNIFORM);
  if (!atom->rmass_flag) {
    for (int type = 1; type <= n; type++)
      if (atom->mass && atom->mass_setflag[type]) masses[type] = atom->mass[type];
    return masses;
  }
  std::vector<double> mine(2 * (n + 1), -std::numeric_limits<double>::infinity()), bounds(mine);
  for (int i = 0; i < atom->nlocal; i++) {
    double *const of_type = &mine[2 * atom->type[i]];    // largest, -smallest
    of_type[0] = std::max(of_type[0], atom->rmass[i]);
    of_type[1] = std::max(of_type[1], -atom->rmass[i]);
  }
  MPI_Allreduce(mine.data(), bounds.data(), 2 * (n + 1), MPI_DOUBLE, MPI_MAX, world);
  for (int type = 1; type <= n; type++)
    if (std::isfinite(bounds[2 * type]) && bounds[2 * type] + bounds[2 * type + 1] < SAME)
      masses[type] = bounds[2 * type];
  return masses;
}

/* ---------------------------------------------------------------------- */

static double distance_to(const std::map<std::string, double> &table, const std::string &symbol, double mass)
{
  const auto found = table.find(symbol);
  return found == table.end() ? std::numeric_limits<double>::infinity() : std::fabs(found->second - mass);
}

/* the known element that matches the mass best; empty if that is symbol, one of its isotopes, or none */

static std::string other_element(const std::string &symbol, double mass, const std::vector<std::string> &known)
{
  double least = std::min({SAME, distance_to(STANDARD, symbol, mass), distance_to(ISOTOPES, symbol, mass)});
  std::string found;
  for (const auto &other : known) {
    const double distance = distance_to(STANDARD, other, mass);
    if (distance >= least || other == symbol) continue;
    least = distance;
    found = other;
  }
  return found;
}

/* ----------------------------------------------------------------------
   masses of 1, or one mass for all elements, are deliberate and not checked
------------------------------------------------------------------------- */

std::string AtomMasses::find_swapped(const std::vector<std::string> &symbols, const std::vector<int> &kinds,
                                     const std::vector<std::string> &known) const
{
  const std::vector<double> masses = masses_of_types();
  bool are_equal = true;
  int first = 0;
  std::string text;
  for (int type = 1; type <= atom->ntypes; type++) {
    const double mass = masses[type];
    if (kinds[type] < 0 || mass == NOT_UNIFORM) continue;
    const std::string &symbol = symbols[type - 1];
    if (first == 0) first = type;
    are_equal &= mass == masses[first];
    if (mass == 1.0) continue;
    const std::string other = other_element(symbol, mass, known);
    if (other.empty()) continue;
    text += (text.empty() ? "" : ", ") + fmt::format("atom type {} is {} but has the mass of {} ({:g} amu)", type,
                                                     symbol, other, mass);
    if (text.size() > 200) break;
  }
  bool is_one_element = true;
  for (int type = 1; type <= atom->ntypes; type++)
    if (kinds[type] >= 0) is_one_element &= first == 0 || kinds[type] == kinds[first];
  if (text.empty() || (are_equal && !is_one_element)) return "";
  return text + "; check the masses and the order of the elements in pair_coeff";
}
