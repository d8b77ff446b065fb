/* ----------------------------------------------------------------------
   Parses the arguments of pair_style mlip/torch and pair_coeff.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "pair_arguments.h"

#include "atom.h"
#include "error.h"
#include "lammps.h"
#include "utils.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

using namespace LAMMPS_NS;

static constexpr const char KEYWORDS[] = "threads, device, charge, spin, deviation, close, profile, restart";

/* ---------------------------------------------------------------------- */

std::string LAMMPS_NS::join(const std::vector<std::string> &words, const std::string &between)
{
  std::string text;
  for (const auto &word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

/* ---------------------------------------------------------------------- */

static int default_threads()
{
  const char *text = getenv("OMP_NUM_THREADS");
  const int number = text ? atoi(text) : 1;
  return number > 0 ? number : 1;
}

static int read_count(LAMMPS *lmp, const std::string &keyword, const char *word)
{
  const int number = utils::inumeric(FLERR, word, false, lmp);
  if (number < 1) lmp->error->all(FLERR, MLIP_STYLE + keyword + " is " + word + "; give a whole number of 1 or more");
  return number;
}

/* index of the word among the choices */

static int read_choice(LAMMPS *lmp, const std::string &keyword, const char *word,
                       const std::vector<std::string> &choices)
{
  const auto found = std::find(choices.begin(), choices.end(), word);
  if (found == choices.end())
    lmp->error->all(FLERR, MLIP_STYLE + keyword + " is " + word + "; use one of: " + join(choices));
  return static_cast<int>(found - choices.begin());
}

/* ---------------------------------------------------------------------- */

PairSettings LAMMPS_NS::read_settings(LAMMPS *lmp, int narg, char **arg)
{
  PairSettings settings;
  settings.n_threads = default_threads();
  for (int iarg = 0; iarg < narg;) {
    const std::string keyword = arg[iarg];
    const int n_values = keyword == "deviation" ? 2 : 1;
    const bool is_known = (std::string(", ") + KEYWORDS + ",").find(", " + keyword + ",") != std::string::npos;
    if (!is_known)
      lmp->error->all(FLERR, MLIP_STYLE + ("unknown keyword " + keyword) + "; use one of: " + KEYWORDS);
    if (iarg + n_values >= narg)
      lmp->error->all(FLERR, MLIP_STYLE + keyword + " needs " + (n_values == 2 ? "a file and a number" : "a value"));

    const char *value = arg[iarg + 1];
    if (keyword == "threads") {
      settings.n_threads = read_count(lmp, "threads", value);
    } else if (keyword == "device") {
      read_choice(lmp, keyword, value, {"auto", "cpu", "cuda"});
      settings.device = value;
    } else if (keyword == "charge" || keyword == "spin") {
      settings.global_inputs[keyword] = utils::numeric(FLERR, value, false, lmp);
    } else if (keyword == "deviation") {
      settings.deviation_file = value;
      settings.deviation_every = read_count(lmp, "the interval of deviation", arg[iarg + 2]);
    } else if (keyword == "close") {
      settings.close = static_cast<CloseAtoms>(read_choice(lmp, keyword, value, {"warn", "error", "ignore"}));
    } else if (keyword == "profile") {
      settings.has_profile = read_choice(lmp, keyword, value, {"no", "yes"});
    } else {
      settings.takes_any_model = read_choice(lmp, keyword, value, {"same", "any"});
    }
    // restart any allows another model for one start only, so restart files do not keep it
    if (keyword != "restart") settings.kept.insert(settings.kept.end(), arg + iarg, arg + iarg + 1 + n_values);
    iarg += 1 + n_values;
  }
  return settings;
}

/* ----------------------------------------------------------------------
   * * file elements ..., or * * file file ... : elements ...
------------------------------------------------------------------------- */

PairCoefficients LAMMPS_NS::read_coefficients(LAMMPS *lmp, int narg, char **arg)
{
  if (narg < 3 || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    lmp->error->all(FLERR, MLIP_STYLE + std::string("invalid pair_coeff arguments; "
                                                    "use: pair_coeff * * file.pt2 and an element for each atom type"));

  PairCoefficients found;
  char **end = arg + narg;
  char **colon = std::find_if(arg + 2, end, [](const char *word) { return strcmp(word, ":") == 0; });
  if (colon == end) {
    found.files = {arg[2]};
    found.symbols.assign(arg + 3, end);
  } else {
    found.files.assign(arg + 2, colon);
    found.symbols.assign(colon + 1, end);
  }
  if (found.files.empty())
    lmp->error->all(FLERR, MLIP_STYLE + std::string("pair_coeff names no file before the colon; use: "
                                                    "pair_coeff * * a.pt2 b.pt2 : and an element for each atom type"));
  const int n_symbols = static_cast<int>(found.symbols.size());
  if (n_symbols != lmp->atom->ntypes) {
    std::string cure = "name one element of the model for each type, NULL for types of another style";
    if (colon == end && n_symbols > 0 && utils::strmatch(found.symbols[0], "\\.pt2$"))
      cure = "separate several files from elements by a colon: * * a.pt2 b.pt2 : and an element for each atom type";
    lmp->error->all(FLERR, MLIP_STYLE + ("pair_coeff names " + std::to_string(n_symbols)) + " elements for " +
                               std::to_string(lmp->atom->ntypes) + " atom types; " + cure);
  }
  return found;
}
