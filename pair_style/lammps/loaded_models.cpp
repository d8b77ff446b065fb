/* ----------------------------------------------------------------------
   The models named in pair_coeff.
   GNU General Public License, version 2 (pair_style/LICENSE).
------------------------------------------------------------------------- */

#include "loaded_models.h"

#include "agreement.h"
#include "atom_masses.h"
#include "pair_arguments.h"

#include "comm.h"
#include "error.h"
#include "utils.h"

#include "fmt/format.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <new>

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

static std::string describe(const mlip::Metadata &metadata)
{
  std::string text = "sha256 " + metadata.source_sha256 + ", head " + metadata.head + ", " + metadata.dtype +
      ", cutoff " + std::to_string(metadata.cutoff) + ", " + join(metadata.elements);
  for (int64_t width : metadata.feature_widths) text += " " + std::to_string(width);
  return text;
}

/* ---------------------------------------------------------------------- */

static std::string text_of(double value)
{
  return fmt::format("{:g}", value);
}

/* ---------------------------------------------------------------------- */

static std::string find_wrong_device(const std::string &path, const mlip::Metadata &metadata, const std::string &device)
{
  if (device == "auto" || metadata.device == device) return "";
  return path + " is for a " + (metadata.device == "cuda" ? "GPU" : "CPU") + ", but pair_style has device " + device +
      "; export the model with --device " + device + ", or use: pair_style mlip/torch device auto";
}

/* ----------------------------------------------------------------------
   a missing file: the folders searched, and the next step
------------------------------------------------------------------------- */

static std::string not_found(const std::string &given)
{
  const char *folders = getenv("LAMMPS_POTENTIALS");
  std::error_code ignored;
  std::string text = "no model file " + given;
  if (given[0] != '/') text += " in " + std::filesystem::current_path(ignored).string();
  text += std::string(" or in LAMMPS_POTENTIALS (") + (folders ? folders : "not set") + "); ";
  std::string name = given;
  if (utils::strmatch(name, "\\.pt2$")) name.resize(name.size() - 4);
  const std::vector<std::string> shipped = utils::split_words(MLIP_LAMMPS_MODELS);
  if (std::find(shipped.begin(), shipped.end(), name) != shipped.end())
    return text + "compile the shipped model first: mlip-lammps export " + name + " -o " + name + ".pt2";
  const bool is_ascii = std::all_of(given.begin(), given.end(), [](char c) { return static_cast<unsigned char>(c) < 128; });
  const std::string advice = is_ascii
      ? "check the path (one with blanks needs quotes)"
      : "LAMMPS damages letters beyond ASCII in an input; give the path in a variable, as in: lmp -var model PATH";
  return text + advice + ", or make the file with: mlip-lammps export MODEL -o FILE.pt2";
}

/* ---------------------------------------------------------------------- */

void LoadedModels::open(const std::vector<std::string> &paths, int n_threads, const std::string &device)
{
  committee = mlip::Committee();
  stamps.clear();
  std::string fault;
  for (const auto &given : paths) {
    // the search path of LAMMPS potentials: the current folder, then those in LAMMPS_POTENTIALS
    const std::string found = utils::get_potential_file_path(given);
    const std::string &path = found.empty() ? given : found;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) {
      fault = not_found(given);
      break;
    }
    try {
      // check before opening: without device cuda this machine may lack a GPU
      if (device != "auto") fault = find_wrong_device(path, mlip::read_metadata(path), device);
      if (!fault.empty()) break;
      stamps.emplace_back(path);
      committee.open(path, mlip::find_torch_dir(), n_threads);
    } catch (std::bad_alloc &) {
      fault = path + ": not enough memory to open the model; use fewer ranks per node, or a node with more memory";
    } catch (std::exception &e) {
      fault = e.what();
    } catch (...) {
      fault = path + ": unknown exception while opening the model; export it again, or report a bug";
    }
    if (!fault.empty()) break;
  }
  agreement.settle(fault);
  // nodes can see different files under the same name
  for (int k = 0; k < committee.size(); k++)
    agreement.require_same_on_ranks(committee.path(k), describe(committee.metadata(k)));
}

/* ---------------------------------------------------------------------- */

void LoadedModels::map_types(const std::vector<std::string> &given, bool is_null_allowed)
{
  const int n_types = static_cast<int>(given.size());
  std::vector<int> kinds(n_types + 1, -1);
  std::vector<std::string> distinct;
  for (int type = 1; type <= n_types; type++) {
    const std::string &symbol = given[type - 1];
    if (symbol == "NULL") {
      if (!is_null_allowed)
        error->all(FLERR, MLIP_STYLE + ("atom type " + std::to_string(type)) +
                       " is NULL, which is only valid in a hybrid; use: pair_style hybrid/overlay");
      continue;
    }
    for (int k = 0; k < committee.size(); k++)
      if (!committee.knows(k, symbol))
        error->all(FLERR, MLIP_STYLE + ("atom type " + std::to_string(type)) + " is " + symbol + ", but " +
                       committee.path(k) + " knows " + join(committee.metadata(k).elements) +
                       "; name only these elements in pair_coeff");
    kinds[type] = static_cast<int>(std::find(distinct.begin(), distinct.end(), symbol) - distinct.begin());
    if (kinds[type] == static_cast<int>(distinct.size())) distinct.push_back(symbol);
  }
  if (distinct.empty())
    error->all(FLERR, MLIP_STYLE + ("every atom type is NULL; name at least one element of " + committee.path(0)) +
                   " in pair_coeff: " + join(committee.metadata(0).elements));
  kind_of_type = kinds;
  symbols = given;
  has_warned_of_masses = false;
  committee.name_kinds(distinct);
  std::string fault;
  try {
    committee.require_kinds();
  } catch (std::exception &e) {
    fault = e.what();
  }
  agreement.settle(fault);
}

/* ---------------------------------------------------------------------- */

std::string LoadedModels::find_other_device(const std::string &device) const
{
  for (int k = 0; k < committee.size(); k++) {
    const std::string fault = find_wrong_device(committee.path(k), committee.metadata(k), device);
    if (!fault.empty()) return fault;
  }
  return "";
}

/* ---------------------------------------------------------------------- */

static std::string find_wrong_value(const std::string &path, const mlip::GlobalInput &input, double value)
{
  if (input.is_integer && value != std::floor(value))
    return input.name + " is " + text_of(value) + ", but " + path + " takes whole numbers; correct pair_style";
  if (input.has_bounds && !(value >= input.lowest && value <= input.highest))
    return input.name + " is " + text_of(value) + ", but " + path + " takes values from " + text_of(input.lowest) +
        " to " + text_of(input.highest) + "; correct pair_style";
  return "";
}

/* ---------------------------------------------------------------------- */

std::string LoadedModels::find_unsupported_sum() const
{
  if (committee.size() < 2) return "";
  for (int k = 0; k < committee.size(); k++)
    if (committee.metadata(k).latent_ewald.is_used)
      return committee.path(k) + " has latent charges, which a committee does not support; name one model";
  return "";
}

/* ---------------------------------------------------------------------- */

std::string LoadedModels::set_global_inputs(const std::map<std::string, double> &given)
{
  global_inputs.clear();
  defaults.clear();
  for (int k = 0; k < committee.size(); k++) {
    const std::string &path = committee.path(k);
    const std::vector<mlip::GlobalInput> &inputs = committee.metadata(k).global_inputs;
    for (const auto &entry : given) {
      const auto has_name = [&](const mlip::GlobalInput &input) { return input.name == entry.first; };
      if (std::none_of(inputs.begin(), inputs.end(), has_name))
        return "keyword " + entry.first + " is given, but " + path + " does not depend on it; remove " + entry.first +
            " from pair_style, or use a model with a " + entry.first + " embedding";
    }
    std::vector<double> values;
    for (const auto &input : inputs) {
      const auto found = given.find(input.name);
      const bool is_default = found == given.end();
      values.push_back(is_default ? input.default_value : found->second);
      const std::string text = input.name + " " + text_of(values.back());
      if (is_default && std::find(defaults.begin(), defaults.end(), text) == defaults.end()) defaults.push_back(text);
      const std::string fault = find_wrong_value(path, input, values.back());
      if (!fault.empty()) return fault;
    }
    committee.model(k).set_global_inputs(values);
    global_inputs.push_back(values);
  }
  return "";
}

/* ---------------------------------------------------------------------- */

std::vector<int64_t> LoadedModels::species_of_kind(int model) const
{
  const std::vector<std::string> &known = committee.metadata(model).elements;
  std::vector<int64_t> rows(*std::max_element(kind_of_type.begin(), kind_of_type.end()) + 1);
  for (std::size_t type = 1; type < kind_of_type.size(); type++)
    if (kind_of_type[type] >= 0)
      rows[kind_of_type[type]] = std::find(known.begin(), known.end(), symbols[type - 1]) - known.begin();
  return rows;
}

/* ---------------------------------------------------------------------- */

RestartRecord LoadedModels::record() const
{
  RestartRecord record;
  record.symbols = symbols;
  for (int k = 0; k < committee.size(); k++) {
    const mlip::Metadata &metadata = committee.metadata(k);
    record.models.push_back({committee.path(k), metadata.source_name, metadata.source_sha256, metadata.head});
  }
  return record;
}

/* ---------------------------------------------------------------------- */

std::string LoadedModels::digest() const
{
  std::vector<std::string> texts;
  for (int k = 0; k < committee.size(); k++) texts.push_back(describe(committee.metadata(k)));
  for (const auto &values : global_inputs)
    for (const double value : values) texts.push_back("global input " + text_of(value));
  return join(texts, "; ") + "; types " + join(symbols, " ");
}

/* ---------------------------------------------------------------------- */

static std::string name_gpu(const mlip::Model &model)
{
  try {
    return model.gpu().name;
  } catch (std::exception &) {    // a GPU that fails stops all ranks in the first step
    return "a GPU";
  }
}

/* ---------------------------------------------------------------------- */

void LoadedModels::log(int n_threads) const
{
  for (int k = 0; k < committee.size(); k++) {
    const mlip::Metadata &metadata = committee.metadata(k);
    std::string device =
        "cpu, torch " + metadata.torch_version + ", " + std::to_string(n_threads) + " thread(s) per rank";
    if (committee.model(k).finds_edges()) device = name_gpu(committee.model(k));
    utils::logmesg(lmp, "mlip/torch: {}, types: {}, cutoff {} A, {} layer(s), {} on {}\n", committee.path(k),
                   join(symbols, " "), metadata.cutoff, metadata.n_layers, metadata.dtype, device);
    const mlip::Model::PairTableCost cost = committee.model(k).pair_table_cost();
    if (cost.n_tables > 0)
      utils::logmesg(lmp, "mlip/torch: {}, radial tables of {} kinds of pairs, {:.1f} MB per rank, {:.1f} s\n",
                     committee.path(k), cost.n_tables, cost.n_bytes / 1e6, cost.seconds);
    for (std::size_t n = 0; n < metadata.global_inputs.size(); n++)
      utils::logmesg(lmp, "mlip/torch: {}, {} {}\n", committee.path(k), metadata.global_inputs[n].name,
                     text_of(global_inputs[k][n]));
  }
  if (!defaults.empty())
    error->warning(FLERR, MLIP_STYLE + ("the energy depends on numbers that pair_style does not give; the run uses " +
                                        join(defaults, " and ") + "; to choose, use: pair_style mlip/torch " +
                                        join(defaults, " ")));
}

/* ----------------------------------------------------------------------
   warns that the run still uses the model that pair_coeff read
------------------------------------------------------------------------- */

void LoadedModels::warn_of_replaced_files()
{
  for (int k = 0; k < committee.size(); k++) {
    if (!stamps[k].is_replaced()) continue;
    const std::string &path = committee.path(k);
    stamps[k] = mlip::FileStamp(path);
    std::string found = "cannot be read";
    try {
      const mlip::Metadata metadata = mlip::read_metadata(path);
      const mlip::Metadata &own = committee.metadata(k);
      if (metadata.build_id == own.build_id && describe(metadata) == describe(own)) continue;
      found = "contains " + metadata.source_name + ", sha256 " + metadata.source_sha256.substr(0, 12) + ", head " +
          metadata.head;
    } catch (std::exception &) {
    }
    error->warning(FLERR, MLIP_STYLE + path + " was replaced after pair_coeff read it and now " + found +
                       "; the run continues with the model that was read; repeat pair_coeff to use the new file");
  }
}

/* ---------------------------------------------------------------------- */

void LoadedModels::warn_of_swapped_elements()
{
  if (has_warned_of_masses) return;
  const std::string text = AtomMasses(lmp).find_swapped(symbols, kind_of_type, committee.metadata(0).elements);
  has_warned_of_masses = !text.empty();
  if (comm->me == 0 && !text.empty()) error->warning(FLERR, MLIP_STYLE + text);
}
